/// A safe ref name: one that `git check-ref-format` accepts, under `refs/`, in valid UTF-8, of at
/// most ``maximumLength`` bytes.
///
/// Names are bytes. Swift strings compare by canonical equivalence, which would make one ref of
/// two forms of `é`; this type hashes, compares and sorts by the bytes.
package struct RefName: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let bytes: [UInt8]

    /// Bytes. Several names must fit into a pkt-line. As a path below a workspace, a name must not
    /// exceed PATH_MAX, or else the files that git creates for it could not be removed.
    package static let maximumLength = 1024

    /// Validates a name; nil if it is not safe.
    package init?(_ bytes: some Collection<UInt8>) {
        let bytes = Array(bytes)
        guard Self.fault(of: bytes) == nil else { return nil }
        self.bytes = bytes
    }

    /// Validates a name; nil if it is not safe.
    package init?(_ string: String) {
        self.init(string.utf8)
    }

    /// `refs/heads/main`.
    package static let main = RefName(known: "refs/heads/main")

    private init(known name: StaticString) {
        bytes = name.withUTF8Buffer { Array($0) }
        precondition(Self.fault(of: bytes) == nil)
    }

    package static func < (left: RefName, right: RefName) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }

    /// Whether this is a branch, the only kind of ref that cannot point to a tag object.
    package var isBranch: Bool { bytes.starts(with: "refs/heads/".utf8) }

    package var description: String { String(decoding: bytes, as: UTF8.self) }

    /// The reason why a name is not safe.
    package enum Fault: Equatable, Sendable {
        /// git refuses it as well.
        case funny
        case notUTF8
        case tooLong

        /// The reason in a push's report. For a funny name it is git's own.
        package var reason: String {
            switch self {
            case .funny: "funny refname"
            case .notUTF8: "refname is not valid UTF-8"
            case .tooLong: "refname is longer than \(RefName.maximumLength) bytes"
            }
        }
    }

    /// Returns the reason why a name is unsafe; nil if it is safe.
    package static func fault(of name: [UInt8]) -> Fault? {
        if !isWellFormed(name) { return .funny }
        if String(validating: name, as: UTF8.self) == nil { return .notUTF8 }
        return name.count > maximumLength ? .tooLong : nil
    }

    /// git-check-ref-format(1), rules 1 to 10, and the prefix `refs/`.
    private static func isWellFormed(_ name: [UInt8]) -> Bool {
        guard name.starts(with: "refs/".utf8), name.last != dot,
            name.allSatisfy({ isAllowed($0) })
        else { return false }
        let components = name.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        return components.allSatisfy { isSafeComponent($0) } && !contains(name, dot, dot)
            && !contains(name, UInt8(ascii: "@"), UInt8(ascii: "{"))
    }

    private static let dot = UInt8(ascii: ".")

    private static func isSafeComponent(_ component: ArraySlice<UInt8>) -> Bool {
        guard let first = component.first, first != dot else { return false }
        return !component.suffix(5).elementsEqual(".lock".utf8)
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case 0...0x20, 0x7f, UInt8(ascii: "~"), UInt8(ascii: "^"), UInt8(ascii: ":"),
            UInt8(ascii: "?"), UInt8(ascii: "*"), UInt8(ascii: "["), UInt8(ascii: "\\"):
            false
        default: true
        }
    }

    private static func contains(
        _ name: [UInt8], _ first: UInt8, _ second: UInt8
    ) -> Bool {
        zip(name, name.dropFirst()).contains { $0 == first && $1 == second }
    }
}
