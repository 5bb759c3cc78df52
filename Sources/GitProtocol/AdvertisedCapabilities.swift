/// The capabilities that the installed git advertises for a service in protocol v0 or v1, taken
/// from an advertisement of its own. gitprotocol-pack(5), "Reference Discovery".
package struct AdvertisedCapabilities: Equatable, Sendable {
    /// The pkt-lines before the first ref, such as `version 1`.
    private let preface: [UInt8]
    private let words: [[UInt8]]

    /// Parses git's advertisement of a repository that has a ref.
    package init(parsing advertisement: [UInt8]) throws(ProtocolError) {
        var rest = advertisement[...]
        var preface: [UInt8] = []
        while true {
            guard rest.count > 4,
                case .payload(let length) = try PktLine.parseHeader(rest.prefix(4)),
                rest.count >= length + 4
            else { throw .badReport("advertisement without capabilities") }
            let line = rest.dropFirst(4).prefix(length)
            if let zero = line.firstIndex(of: 0) {
                let list = line[(zero + 1)...].split(separator: UInt8(ascii: "\n")).first ?? []
                words = list.split(separator: UInt8(ascii: " ")).map { Array($0) }
                break
            }
            preface += rest.prefix(length + 4)
            rest = rest.dropFirst(length + 4)
        }
        self.preface = preface
    }

    /// The list for a repository whose HEAD resolves to `head`, or to nothing if that is nil; in
    /// git's order, including the position of `symref`.
    func list(head: RefName?) -> [UInt8] {
        let symref = Array("symref=".utf8)
        let words = self.words.compactMap { word -> [UInt8]? in
            guard word.starts(with: symref) else { return word }
            return head.map { Array("symref=HEAD:".utf8) + $0.bytes }
        }
        return Array(words.joined(separator: [UInt8(ascii: " ")]))
    }

    /// The beginning of an advertisement.
    var beginning: [UInt8] { preface }

    /// The format in `object-format`.
    var objectFormat: ObjectFormat {
        words.contains { $0.elementsEqual("object-format=sha256".utf8) } ? .sha256 : .sha1
    }
}
