import CExpat

/// An element of an XML document that contains no other elements.
struct XMLLeaf: Equatable {
    /// The names of its ancestors and itself, as in `/Error/Code`.
    let path: String
    let text: String
}

/// Parses the leaves of a document, in their order; nil if it is not well-formed. expat(3).
func xmlLeaves(of bytes: [UInt8]) -> [XMLLeaf]? {
    guard let parser = XML_ParserCreate("UTF-8") else { return nil }
    defer { XML_ParserFree(parser) }

    let reader = LeafReader()
    return withExtendedLifetime(reader) {
        XML_SetUserData(parser, Unmanaged.passUnretained(reader).toOpaque())
        XML_SetElementHandler(
            parser,
            { context, name, _ in
                guard let name else { return }
                LeafReader.of(context)?.open(String(cString: name))
            },
            { context, _ in LeafReader.of(context)?.close() })
        XML_SetCharacterDataHandler(parser) { context, text, count in
            guard let text else { return }
            LeafReader.of(context)?.append(UnsafeRawBufferPointer(start: text, count: Int(count)))
        }

        let status = bytes.withUnsafeBytes { buffer in
            XML_Parse(
                parser, buffer.baseAddress?.assumingMemoryBound(to: CChar.self),
                Int32(clamping: buffer.count), 1)
        }
        return status == XML_STATUS_OK ? reader.leaves : nil
    }
}

private final class LeafReader {
    private(set) var leaves: [XMLLeaf] = []
    private var names: [String] = []
    private var text: [UInt8] = []
    private var isLeaf = false

    static func of(_ context: UnsafeMutableRawPointer?) -> LeafReader? {
        context.map { Unmanaged<LeafReader>.fromOpaque($0).takeUnretainedValue() }
    }

    func open(_ name: String) {
        names.append(name)
        text.removeAll()
        isLeaf = true
    }

    func append(_ bytes: UnsafeRawBufferPointer) {
        text.append(contentsOf: bytes)
    }

    func close() {
        if isLeaf {
            let path = names.map { "/" + $0 }.joined()
            leaves.append(XMLLeaf(path: path, text: String(decoding: text, as: UTF8.self)))
        }
        names.removeLast()
        isLeaf = false
    }
}

/// The contents of an error's XML body.
struct ErrorBody: Sendable, Equatable {
    /// S3's code, such as `NoSuchKey`; empty if there is none.
    var code = ""
    /// The bucket's region, if the error is about that.
    var region: String?

    /// The number of bytes that are read. S3's error bodies have a few hundred.
    static let limit = 1 << 16

    init() {}

    /// Parses as much as possible: a body that is not XML, or is truncated, has no code.
    init(_ bytes: [UInt8]) {
        guard let leaves = xmlLeaves(of: bytes) else { return }
        for leaf in leaves {
            switch leaf.path {
            case "/Error/Code": code = Self.plain(leaf.text)
            case "/Error/Region": region = Self.plain(leaf.text)
            default: break
            }
        }
    }

    /// Returns the text if it is safe to log, and otherwise an empty one.
    private static func plain(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { byte in
            isLowerAlphanumeric(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
                || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
        }
        return isPlain && text.utf8.count <= 64 ? text : ""
    }
}
