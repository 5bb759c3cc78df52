/// A manifest's fields as they are serialised, and their canonical bytes: JSON in UTF-8, no white
/// space, keys in a fixed order, names sorted by their bytes. The form is pinned: it names the
/// manifests of existing buckets.
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
