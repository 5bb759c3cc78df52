import Bytes
import GitProtocol
import ObjectStore
import TestSupport
import Testing

@testable import Repository

/// One predicate for writer and reader: what is written is read back, as itself.
@Suite(.tags(.fuzz)) struct ManifestPropertyTests {
    @Test(arguments: 0..<200 as Range<UInt64>)
    func generatedManifestsAreReadBack(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let manifest = try Self.manifest(&random)
        let written = Result { () throws(Manifest.Invalid) in try manifest.canonicalBytes() }
        switch written {
        case .success(let bytes):
            #expect(try Manifest(parsing: bytes) == manifest)
            #expect(try Manifest(parsing: bytes).canonicalBytes() == bytes)
        case .failure:
            // Refused by the writer: then by the reader, too, or for want of `peeled` alone.
            let fields = ManifestFields(
                version: manifest.kind == .live ? 1 : 2, head: manifest.head.bytes,
                refs: manifest.refs.map { ($0.key.bytes, $0.value.hex) },
                packs: manifest.packs.map { "packs/\($0)" }, parent: manifest.parent?.hex,
                peeled: manifest.peeled.map { $0.map { ($0.key.bytes, $0.value.hex) } },
                objectFormat: manifest.objectFormat == .sha1 ? nil : "sha256")
            let read = try? Manifest(parsing: fields.canonicalBytes)
            #expect(read == nil || (manifest.needsPeeled && manifest.peeled == nil), "\(seed)")
        }
    }

    @Test func readerAndWriterAgreeOnTheSizeLimit() throws {
        let head = try #require(RefName("refs/heads/main"))
        let manifest = Manifest(head: head)
        let size = try manifest.canonicalBytes().count
        #expect(throws: Never.self) { try manifest.canonicalBytes(limit: size) }
        #expect(throws: Manifest.Invalid.self) { try manifest.canonicalBytes(limit: size - 1) }
    }

    private static func manifest(_ random: inout SplitMix64) throws -> Manifest {
        let format: ObjectFormat = Bool.random(using: &random) ? .sha1 : .sha256
        let oddly = Int.random(in: 0..<6, using: &random)
        var refs: [RefName: ObjectID] = [:]
        for _ in 0..<Int.random(in: 0...12, using: &random) {
            refs[try name(&random)] = try id(
                oddly == 0 && Bool.random(using: &random) ? .sha1 : format, &random)
        }
        var peeled: [RefName: ObjectID]? = Bool.random(using: &random) ? nil : [:]
        if peeled != nil {
            for name in refs.keys where Bool.random(using: &random) {
                peeled?[name] = try id(format, &random)
            }
            if oddly == 1 { peeled?[try name(&random)] = try id(format, &random) }
        }
        let digests = try (0..<Int.random(in: 0...4, using: &random)).map { _ in
            try #require(Digest(hex: hex(64, &random)))
        }
        let prefix = oddly == 2 ? "refs/tags/" : "refs/heads/"
        return Manifest(
            kind: oddly == 3 ? .tombstone : .live,
            head: try #require(RefName(prefix + "main")), refs: refs, packs: Set(digests),
            parent: Bool.random(using: &random) ? digests.first : nil, peeled: peeled,
            objectFormat: format)
    }

    private static func name(_ random: inout SplitMix64) throws -> RefName {
        let pieces = ["a", "\"", "é", "e\u{301}", "🎉", "b/c", "x.y", "#1", "'", "$", "\u{85}", "{"]
        let kind = ["refs/heads/", "refs/tags/", "refs/notes/", "refs/heads/"]
        let text =
            (kind.randomElement(using: &random) ?? "")
            + (0...Int.random(in: 0...4, using: &random)).map { _ in
                pieces.randomElement(using: &random) ?? ""
            }.joined()
        return try #require(RefName(text), "\(text)")
    }

    private static func id(
        _ format: ObjectFormat, _ random: inout SplitMix64
    ) throws -> ObjectID {
        try #require(ObjectID(Array(hex(format.hexLength, &random).utf8)))
    }

    private static func hex(_ count: Int, _ random: inout SplitMix64) -> String {
        let digits = Array("0123456789abcdef")
        return String((0..<count).map { _ in digits[Int.random(in: 0..<16, using: &random)] })
    }
}
