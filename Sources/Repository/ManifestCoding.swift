import Bytes
import GitProtocol
import ObjectStore

extension Manifest {
    /// The canonical bytes, ready to be stored under their digest.
    ///
    /// - Throws: ``Invalid`` if a reader would refuse it.
    package func canonicalBytes(limit: Int = maximumSize) throws(Invalid) -> [UInt8] {
        try validate()
        if needsPeeled, peeled == nil, kind == .live {
            throw Invalid("refs outside refs/heads/ need 'peeled'")
        }
        let bytes = ManifestFields(
            version: kind == .live ? 1 : 2,
            head: head.bytes,
            refs: refs.map { ($0.key.bytes, $0.value.hex) },
            packs: packs.map { ObjectKey.pack($0).path },
            parent: parent?.hex,
            peeled: peeled.map { $0.map { ($0.key.bytes, $0.value.hex) } },
            objectFormat: objectFormat == .sha1 ? nil : objectFormat.rawValue,
            to: destination.map { ($0.name, $0.digest.hex) },
            mark: mark?.hex
        ).canonicalBytes
        if bytes.count > limit { throw Invalid("it has more than \(limit) bytes") }
        return bytes
    }

    /// Reads a manifest. Unknown keys are ignored; duplicate ones are refused.
    package init(parsing bytes: [UInt8]) throws(Invalid) {
        guard String(validating: bytes, as: UTF8.self) != nil else { throw Invalid("not UTF-8") }
        let json: JSONBytes
        do {
            json = try JSONBytes(parsing: bytes)
        } catch {
            throw Invalid("not JSON: \(error)")
        }
        guard case .object(let members) = json else { throw Invalid("not a JSON object") }
        func member(_ name: String) -> JSONBytes? {
            members.first { $0.key.elementsEqual(name.utf8) }?.value
        }

        switch member("version") {
        case .number(let version) where version.elementsEqual("1".utf8): kind = .live
        case .number(let version) where version.elementsEqual("2".utf8): kind = .tombstone
        case .number(let version):
            let version = String(decoding: version, as: UTF8.self)
            throw Invalid("version \(version) is not one that this program reads")
        default: throw Invalid("it has no version")
        }
        guard case .string(let head) = member("head"), let head = RefName(head) else {
            throw Invalid("its head is not a safe ref name")
        }
        guard let refs = member("refs") else { throw Invalid("it has no refs") }
        guard case .array(let packs) = member("packs") else { throw Invalid("it has no packs") }

        self.head = head
        self.refs = try Self.idMap(refs, "refs")
        self.packs = try Self.digests(packs)
        switch member("parent") {
        case .null: parent = nil
        case .string(let hex):
            guard let digest = Digest(hex: hex) else { throw Invalid("its parent is no digest") }
            parent = digest
        default: throw Invalid("it has no parent")
        }
        peeled = try member("peeled").map { value throws(Invalid) in
            try Self.idMap(value, "peeled")
        }
        switch member("objectFormat") {
        case nil: objectFormat = .sha1
        case .string(let name):
            guard let format = ObjectFormat(rawValue: String(decoding: name, as: UTF8.self)) else {
                throw Invalid("an unknown objectFormat")
            }
            objectFormat = format
        default: throw Invalid("an unknown objectFormat")
        }
        // Readers skip it, as they skip all keys that they do not know.
        if kind == .tombstone, case .string(let hex) = member("mark") {
            mark = Digest(hex: hex)
        }
        if kind == .tombstone, let to = member("to") { destination = try Self.destination(to) }
        try validate()
    }

    /// A claim that a reader skipped would give one repository two names.
    private static func destination(_ value: JSONBytes) throws(Invalid) -> Destination {
        guard case .array(let parts) = value, parts.count == 2,
            case .string(let name) = parts[0], case .string(let hex) = parts[1],
            let digest = Digest(hex: hex)
        else { throw Invalid("its 'to' is no name with a digest") }
        return Destination(name: String(decoding: name, as: UTF8.self), digest: digest)
    }

    private static func idMap(
        _ value: JSONBytes, _ field: String
    ) throws(Invalid) -> [RefName: ObjectID] {
        guard case .object(let members) = value else { throw Invalid("its \(field) are no object") }
        var map = [RefName: ObjectID](minimumCapacity: members.count)
        for member in members {
            let shown = String(decoding: member.key, as: UTF8.self)
            guard let name = RefName(member.key) else {
                throw Invalid("'\(shown)' in \(field) is not a safe ref name")
            }
            guard case .string(let digits) = member.value, let id = ObjectID(digits) else {
                throw Invalid("'\(shown)' in \(field) has no object id")
            }
            map[name] = id
        }
        return map
    }

    private static func digests(_ values: [JSONBytes]) throws(Invalid) -> Set<Digest> {
        var digests: Set<Digest> = []
        for value in values {
            guard case .string(let key) = value, let digest = ObjectKey.packDigest(in: key) else {
                throw Invalid("a pack that is not 'packs/<sha256>'")
            }
            digests.insert(digest)
        }
        return digests
    }
}

/// A manifest's fields as they are serialized, and their canonical bytes: JSON in UTF-8, no white
/// space, keys in a fixed order, names sorted by their bytes. The form is pinned, since it names
/// the manifests of existing buckets.
struct ManifestFields {
    var version: Int
    var head: [UInt8]
    var refs: [(name: [UInt8], id: String)]
    /// Full keys, `packs/<sha256>`.
    var packs: [String]
    var parent: String?
    var peeled: [(name: [UInt8], id: String)]?
    var objectFormat: String?
    var to: (name: String, digest: String)?
    var mark: String?

    /// The canonical bytes.
    var canonicalBytes: [UInt8] {
        var json = Array("{\"version\":\(version),\"head\":".utf8)
        Self.append(head, to: &json)
        json += Array(",\"refs\":".utf8)
        Self.append(refs, to: &json)
        json += Array(",\"packs\":[".utf8)
        let sorted = Set(packs).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        for (index, pack) in sorted.enumerated() {
            if index > 0 { json.append(UInt8(ascii: ",")) }
            Self.append(Array(pack.utf8), to: &json)
        }
        json += Array("],\"parent\":".utf8)
        if let parent {
            Self.append(Array(parent.utf8), to: &json)
        } else {
            json += Array("null".utf8)
        }
        if let peeled {
            json += Array(",\"peeled\":".utf8)
            Self.append(peeled, to: &json)
        }
        if let objectFormat {
            json += Array(",\"objectFormat\":".utf8)
            Self.append(Array(objectFormat.utf8), to: &json)
        }
        if let to {
            json += Array(",\"to\":[".utf8)
            Self.append(Array(to.name.utf8), to: &json)
            json.append(UInt8(ascii: ","))
            Self.append(Array(to.digest.utf8), to: &json)
            json.append(UInt8(ascii: "]"))
        }
        if let mark {
            json += Array(",\"mark\":".utf8)
            Self.append(Array(mark.utf8), to: &json)
        }
        json.append(UInt8(ascii: "}"))
        return json
    }

    private static func append(_ map: [(name: [UInt8], id: String)], to json: inout [UInt8]) {
        json.append(UInt8(ascii: "{"))
        let sorted = map.sorted { $0.name.lexicographicallyPrecedes($1.name) }
        for (index, entry) in sorted.enumerated() {
            if index > 0 { json.append(UInt8(ascii: ",")) }
            append(entry.name, to: &json)
            json.append(UInt8(ascii: ":"))
            append(Array(entry.id.utf8), to: &json)
        }
        json.append(UInt8(ascii: "}"))
    }

    /// Only `"` and `\` are escaped; no string of a manifest has control characters.
    private static func append(_ string: [UInt8], to json: inout [UInt8]) {
        json.append(UInt8(ascii: "\""))
        for byte in string {
            if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                json.append(UInt8(ascii: "\\"))
            }
            json.append(byte)
        }
        json.append(UInt8(ascii: "\""))
    }
}
