import Posix

/// The commands and configurations of the documentation, for tests to run.
package enum Documentation {
    /// A file of the repository.
    package static func file(_ path: String) throws -> String {
        String(decoding: try Files.read("\(root)/\(path)"), as: UTF8.self)
    }

    /// The README and the pages, as paths in the repository.
    package static func pages() throws -> [String] {
        let catalogue = "Sources/git-s3-backend/Documentation.docc"
        let names = try Files.names(in: "\(root)/\(catalogue)").filter { $0.hasSuffix(".md") }
        return ["README.md"] + names.sorted().map { "\(catalogue)/\($0)" }
    }

    /// The directory of the repository.
    package static let root =
        "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

    /// A page's indented block that begins with a line.
    package static func block(_ first: String, of page: String) throws -> String {
        let path = "Sources/git-s3-backend/Documentation.docc/\(page).md"
        let lines = try file(path)
            .split(separator: "\n", omittingEmptySubsequences: false)
        guard let start = lines.firstIndex(of: "    \(first)") else {
            throw TestFailure("'\(path)' has no block that begins with '\(first)'.")
        }
        return lines[start...].prefix { $0.isEmpty || $0.hasPrefix("    ") }
            .map { $0.dropFirst(4) }.joined(separator: "\n")
    }
}
