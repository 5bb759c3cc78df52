/// A request for protocol v2's `ls-refs`, with its arguments. gitprotocol-v2(5).
package struct LsRefsRequest: Equatable, Sendable {
    package private(set) var peel = false
    package private(set) var symrefs = false
    package private(set) var unborn = false
    /// Sorted, and without prefixes that begin with another one, once the request is read.
    private var prefixes: [[UInt8]] = []

    /// The number of prefixes from which on all of them are ignored: git's `TOO_MANY_PREFIXES`.
    private static let tooManyPrefixes = 65_536

    /// The largest request in bytes, enough for 65,536 prefixes. The request is held in memory, and
    /// anyone can send one.
    private static let maximumSize = 4 << 20

    /// Reads a request.
    ///
    /// - Returns: nil for another command, and for an unusual request, such as one that is too
    ///   long: git has to answer these itself.
    package static func read(
        from reader: PktLineReader, format: ObjectFormat
    ) throws -> LsRefsRequest? {
        var size = 0
        func next() throws -> PktLine? {
            let line = try reader.next()
            guard case .data(let payload) = line else { return line }
            size += payload.count + 4
            // git reads C strings, which end at a zero byte.
            return size > maximumSize || payload.contains(0) ? nil : line
        }

        guard case .data(let command)? = try next(),
            text(command).elementsEqual("command=ls-refs".utf8)
        else { return nil }
        // A client that specifies no format means SHA-1; another format is refused.
        var isFormatKnown = format == .sha1
        capabilities: while true {
            switch try next() {
            case .data(let payload):
                let word = text(payload)
                if word.elementsEqual("object-format=\(format.rawValue)".utf8) {
                    isFormatKnown = true
                } else if !word.starts(with: "agent=".utf8) {
                    return nil
                }
            case .delimiter: break capabilities
            case .flush: return isFormatKnown ? LsRefsRequest() : nil
            case .responseEnd, nil: return nil
            }
        }
        if !isFormatKnown { return nil }
        var request = LsRefsRequest()
        while true {
            switch try next() {
            case .data(let payload):
                if !request.take(text(payload)) { return nil }
            case .flush:
                request.arrangePrefixes()
                return request
            case .delimiter, .responseEnd, nil: return nil
            }
        }
    }

    /// - Returns: false for an invalid argument.
    private mutating func take(_ argument: ArraySlice<UInt8>) -> Bool {
        let prefix = Array("ref-prefix ".utf8)
        if argument.elementsEqual("peel".utf8) {
            peel = true
        } else if argument.elementsEqual("symrefs".utf8) {
            symrefs = true
        } else if argument.elementsEqual("unborn".utf8) {
            unborn = true
        } else if argument.starts(with: prefix) {
            if prefixes.count < Self.tooManyPrefixes {
                prefixes.append(Array(argument.dropFirst(prefix.count)))
            }
        } else {
            return false
        }
        return true
    }

    private mutating func arrangePrefixes() {
        if prefixes.count >= Self.tooManyPrefixes { prefixes = [] }
        var arranged: [[UInt8]] = []
        for prefix in prefixes.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            if let last = arranged.last, prefix.starts(with: last) { continue }
            arranged.append(prefix)
        }
        prefixes = arranged
    }

    /// Whether the request includes a name. Only the last prefix that does not sort after the name
    /// can be its beginning. So many prefixes and many refs do not multiply the time.
    func matches(_ name: [UInt8]) -> Bool {
        if prefixes.isEmpty { return true }
        var (low, high) = (0, prefixes.count)
        while low < high {
            let middle = (low + high) / 2
            if name.lexicographicallyPrecedes(prefixes[middle]) {
                high = middle
            } else {
                low = middle + 1
            }
        }
        return low > 0 && name.starts(with: prefixes[low - 1])
    }

    private static func text(_ payload: [UInt8]) -> ArraySlice<UInt8> {
        payload.last == UInt8(ascii: "\n") ? payload.dropLast() : payload[...]
    }
}
