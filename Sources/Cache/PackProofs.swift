package import Bytes
package import GitProtocol
import Glibc
import ObjectStore
import Posix

/// Hashing of cached packs after git failed with them. A client can make git fail as often as it
/// likes, so this is bounded: one thread of all processes hashes at a time while the others go on
/// without, and a pack that was hashed for this reason within the last minutes is not hashed again.
/// Whatever clients do, the whole cache is read at most once in that time.
extension PackCache {
    /// The time in seconds for which a pack is not doubted again.
    private static let proofTime = 600

    /// The maximum size of the file of proofs, in bytes; a larger one is started again.
    private static let proofLimit = 1 << 22

    /// Hashes cached packs with their indexes and sidecars. Damaged ones are dropped; the others
    /// stay as they are.
    package func prove(_ packs: [Digest], _ format: ObjectFormat) {
        // If another thread is hashing, or nothing can be recorded, nothing is hashed.
        guard let turn = try? FileLock.attempt(proofs) else { return }
        var proven = Self.proofs(in: turn.file.raw)
        guard (try? Self.rewrite(proven, in: turn.file.raw)) != nil else { return }
        for digest in packs where proven[digest] == nil {
            let now = time(nil)
            // Recorded first: after a process is killed during the hash, it must not start over.
            guard (try? writeAll(turn.file.raw, Self.line(digest, now))) != nil else { return }
            proven[digest] = now
            prove(digest, format)
        }
    }

    private func prove(_ digest: Digest, _ format: ObjectFormat) {
        let base = base(of: digest)
        do {
            guard try isWhole(base, digest, format) else { return drop(digest) }
            for sidecar in PackSidecar.allCases {
                let path = base + sidecar.suffix
                let isGood = try sidecar.isUsable(
                    path, forIndex: base + Suffix.index, format: format)
                if !isGood { unlink(path) }
            }
        } catch let error as SystemError where error.code == EIO {
            drop(digest)
        } catch {
            // A pack that is missing, was evicted, or cannot be read stays as it is.
        }
    }

    /// The proofs of the last minutes in the file. Malformed lines are ignored.
    private static func proofs(in file: Int32) -> [Digest: Int] {
        lseek(file, 0, SEEK_SET)
        guard let bytes = try? Files.readToEnd(file, limit: proofLimit, subject: "proofs") else {
            return [:]
        }
        var proven: [Digest: Int] = [:]
        let now = time(nil)
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let words = line.split(separator: UInt8(ascii: " "))
            guard words.count == 2, let digest = Digest(hex: words[0]),
                let then = Int(String(decoding: words[1], as: UTF8.self)),
                (now - proofTime...now + proofTime).contains(then)
            else { continue }
            proven[digest] = then
        }
        return proven
    }

    /// Removes expired proofs from the file.
    private static func rewrite(_ proven: [Digest: Int], in file: Int32) throws {
        lseek(file, 0, SEEK_SET)
        try check("ftruncate") { ftruncate(file, 0) }
        try writeAll(file, proven.flatMap { line($0.key, $0.value) })
    }

    private static func line(_ digest: Digest, _ time: Int) -> [UInt8] {
        Array("\(digest.hex) \(time)\n".utf8)
    }
}
