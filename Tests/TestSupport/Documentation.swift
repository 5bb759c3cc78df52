import Posix

/// What the documentation tells people to do, for tests to do.
package enum Documentation {
    /// A page's indented block that begins with a line.
    package static func block(_ first: String, of page: String) throws -> String {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let path = "/\(root)/Sources/git-s3-backend/Documentation.docc/\(page).md"
        let lines = String(decoding: try Files.read(path), as: UTF8.self)
            .split(separator: "\n", omittingEmptySubsequences: false)
        guard let start = lines.firstIndex(of: "    \(first)") else {
            throw TestFailure("'\(path)' has no block that begins with '\(first)'.")
        }
        return lines[start...].prefix { $0.isEmpty || $0.hasPrefix("    ") }
            .map { $0.dropFirst(4) }.joined(separator: "\n")
    }
}
