/// The server software that answered, as the values of the `Server` header. RFC 9110 §10.2.4.
///
/// One address can have several servers, and behind a load balancer the value can differ from one
/// answer to the next.
package struct ServerNames: Hashable, Sendable, CustomStringConvertible {
    private(set) var names: Set<String> = []
    /// Whether there are too many names to distinguish one backend from another.
    private(set) var vary = false

    /// The largest number of names. With more, none is compared any longer.
    static let limit = 16
    /// The number of bytes of a name that are compared.
    private static let longest = 128

    package init() {}

    init(_ names: some Sequence<String>) {
        for name in names { insert(name) }
    }

    static let varying: ServerNames = {
        var names = ServerNames()
        names.vary = true
        return names
    }()

    package var isEmpty: Bool { names.isEmpty && !vary }

    /// Adds the header of an answer; nil if it had none, which distinguishes servers as well.
    package mutating func note(_ header: String?) {
        let name = Self.plain(header ?? "")
        if vary || names.contains(name) { return }
        insert(name)
    }

    private mutating func insert(_ name: String) {
        names.insert(name)
        if names.count > Self.limit { self = .varying }
    }

    /// Whether these names include all of the others.
    func cover(_ others: ServerNames) -> Bool {
        vary || (!others.vary && others.names.isSubset(of: names))
    }

    func union(_ others: ServerNames) -> ServerNames {
        vary || others.vary ? .varying : ServerNames(names.union(others.names))
    }

    func subtracting(_ others: ServerNames) -> ServerNames {
        others.vary ? ServerNames() : vary ? .varying : ServerNames(names.subtracting(others.names))
    }

    /// The names for logs and records: printable ASCII, of limited length.
    private static func plain(_ header: String) -> String {
        if header.isEmpty { return "(none)" }
        return String(
            decoding: header.utf8.prefix(longest).map {
                (0x20...0x7e).contains($0) && $0 != UInt8(ascii: "'") ? $0 : UInt8(ascii: "?")
            }, as: UTF8.self)
    }

    /// The names in byte order.
    var sorted: [String] {
        names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    package var description: String {
        vary ? "varying" : sorted.map { "'\($0)'" }.joined(separator: ", ")
    }
}
