/// The name of a repository, `OWNER/REPO`; case matters.
///
/// A part is 1 to 100 of `A-Za-z0-9._-`, begins with a letter or digit, has no `..`, and does not
/// end in `.git` or `.lock`.
package struct RepositoryName: Hashable, Sendable, CustomStringConvertible {
    /// The two parts around the slash.
    private let parts: [String]

    /// Parses `OWNER/REPO`; nil for anything else. The caller removes the `.git` of a URL.
    package init?(_ text: String) {
        let parts = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy(Self.isSafe) else { return nil }
        self.parts = parts.map { String(decoding: $0, as: UTF8.self) }
    }

    /// The rule for names, for error messages.
    package static let rule =
        "A name is OWNER/REPO. Each part has 1 to 100 characters of A-Z, a-z, 0-9, '.', '_' and "
        + "'-', begins with a letter or a digit, and must not contain '..' or end in '.git' "
        + "or '.lock'."

    package var description: String { parts.joined(separator: "/") }

    private static func isSafe(_ part: Substring.UTF8View) -> Bool {
        guard (1...100).contains(part.count), let first = part.first, isAlphanumeric(first) else {
            return false
        }
        let allowed = part.allSatisfy { byte in
            isAlphanumeric(byte) || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_")
                || byte == UInt8(ascii: "-")
        }
        let text = String(decoding: part, as: UTF8.self)
        return allowed && !containsDoubleDot(part) && !text.hasSuffix(".git")
            && !text.hasSuffix(".lock")
    }

    private static func containsDoubleDot(_ part: Substring.UTF8View) -> Bool {
        zip(part, part.dropFirst()).contains { $0 == UInt8(ascii: ".") && $1 == UInt8(ascii: ".") }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"):
            true
        default: false
        }
    }
}
