import Bytes
import GitProtocol
import ObjectStore

extension Manifest {
    /// The canonical bytes, ready to be stored under their digest.
    ///
    /// - Throws: ``Invalid`` for what a reader would refuse.
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
        // It means nothing to readers, who pass over what they do not know.
        if kind == .tombstone, case .string(let hex) = member("mark") {
            mark = Digest(hex: hex)
        }
        if kind == .tombstone, let to = member("to") { destination = try Self.destination(to) }
        try validate()
    }

    /// A claim that is passed over would give one repository two names.
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
