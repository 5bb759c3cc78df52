import Glibc
import Posix
import TestSupport
import Testing

/// The map of git's tests to ours is prose, so it could mention tests that no longer exist.
@Suite struct GitCompatibilityTests {
    @Test func everyTestThatTheMapNamesExists() throws {
        let article = try Documentation.file(
            "Sources/git-s3-backend/Documentation.docc/GitCompatibility.md")
        let sources = try Self.sources(in: Documentation.root + "/Tests")
        var count = 0
        for match in article.matches(of: /`([A-Za-z]+Tests)(?:\.([A-Za-z0-9]+))?`/) {
            let source = try #require(sources[String(match.output.1)], "\(match.output.0)")
            guard let test = match.output.2 else { continue }
            #expect(source.contains("func \(test)("), "\(match.output.0)")
            count += 1
        }
        #expect(count > 50)
    }

    /// The sources below a directory, by the suite after which their files are named.
    private static func sources(in directory: String) throws -> [String: String] {
        var sources: [String: String] = [:]
        for name in try Files.names(in: directory) {
            let path = "\(directory)/\(name)"
            if name.hasSuffix(".swift") {
                // `Suite+More.swift` extends the suite.
                let suite = String(name.prefix { $0 != "." && $0 != "+" })
                sources[suite, default: ""] += text(try Files.read(path))
            } else if try Self.isDirectory(path) {
                sources.merge(try Self.sources(in: path)) { $0 + $1 }
            }
        }
        return sources
    }

    private static func isDirectory(_ path: String) throws -> Bool {
        var status = stat()
        try check("stat", path) { stat(path, &status) }
        return status.st_mode & S_IFMT == S_IFDIR
    }
}
