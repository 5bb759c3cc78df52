/// Protocol v2's `ls-refs`, with its arguments. gitprotocol-v2(5).
package struct LsRefsRequest: Equatable, Sendable {
    package private(set) var peel = false
    package private(set) var symrefs = false
    package private(set) var unborn = false
    private var prefixes: [[UInt8]] = []

    /// As many prefixes as this, or more, count as none: git's `TOO_MANY_PREFIXES`.
    private static let tooManyPrefixes = 65_536

    /// Reads a request.
    ///
    /// - Returns: nil for another command, and for anything out of the ordinary, which git is to
    ///   answer in its own words.
    package static func read(
        from reader: PktLineReader, format: ObjectFormat
    ) throws -> LsRefsRequest? {
        guard case .data(let command)? = try reader.next(),
            text(command).elementsEqual("command=ls-refs".utf8)
        else { return nil }
        capabilities: while true {
            switch try reader.next() {
            case .data(let payload):
                let word = text(payload)
                let isOrdinary =
                    word.starts(with: "agent=".utf8)
                    || word.elementsEqual("object-format=\(format.rawValue)".utf8)
                if !isOrdinary { return nil }
            case .delimiter: break capabilities
            case .flush: return LsRefsRequest()
            case .responseEnd, nil: return nil
            }
        }
        var request = LsRefsRequest()
        while true {
            switch try reader.next() {
            case .data(let payload):
                if !request.take(text(payload)) { return nil }
            case .flush:
                if request.prefixes.count >= tooManyPrefixes { request.prefixes = [] }
                return request
            case .delimiter, .responseEnd, nil: return nil
            }
        }
    }

    /// - Returns: false for an argument that is none.
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

    /// Whether a name is asked for.
    func matches(_ name: [UInt8]) -> Bool {
        prefixes.isEmpty || prefixes.contains { name.starts(with: $0) }
    }

    private static func text(_ payload: [UInt8]) -> ArraySlice<UInt8> {
        payload.last == UInt8(ascii: "\n") ? payload.dropLast() : payload[...]
    }
}
