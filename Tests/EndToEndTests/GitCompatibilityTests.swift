import Posix
import TestSupport
import Testing

/// The map of git's tests to ours is prose: it must not outlive what it names.
@Suite struct GitCompatibilityTests {
    private static let root: String = {
        "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    }()

    @Test func everyTestThatTheMapNamesIsThere() throws {
        let article = text(
            try Files.read(
                Self.root + "/Sources/git-s3-backend/Documentation.docc/GitCompatibility.md"))
        var sources: [String: String] = [:]
        for directory in try Files.names(in: Self.root + "/Tests")
        where directory.hasSuffix("Tests") {
            for file in try Files.names(in: "\(Self.root)/Tests/\(directory)") {
                // `Suite+More.swift` extends the suite.
                let suite = file.prefix { $0 != "." && $0 != "+" }
                sources[String(suite), default: ""] += text(
                    try Files.read("\(Self.root)/Tests/\(directory)/\(file)"))
            }
        }
        var count = 0
        for match in article.matches(of: /`([A-Za-z]+Tests)(?:\.([A-Za-z0-9]+))?`/) {
            let source = try #require(sources[String(match.output.1)], "\(match.output.0)")
            guard let test = match.output.2 else { continue }
            #expect(source.contains("func \(test)("), "\(match.output.0)")
            count += 1
        }
        #expect(count > 50)
    }
}
