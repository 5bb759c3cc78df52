import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// The page LogsAndMetrics, compared with the logger calls in the sources.
    @Suite struct LogPageTests {
        private func sources(_ directory: String) throws -> [String] {
            try Files.names(in: "\(Documentation.root)/\(directory)").sorted().flatMap { name in
                let path = "\(directory)/\(name)"
                if name.hasSuffix(".swift") { return [try Documentation.file(path)] }
                return name.contains(".") ? [] : try sources(path)
            }
        }

        private func page() throws -> String {
            try Documentation.file(
                "Sources/git-s3-backend/Documentation.docc/LogsAndMetrics.md")
        }

        @Test func pageHasEveryMessage() throws {
            let page = try page()
            var messages: Set<String> = []
            for text in try sources("Sources") {
                let call =
                    #/\b[lL]og\??\.(?:trace|debug|info|notice|warning|error|critical)\(\s*"([^"\\]+)"/#
                for match in text.matches(of: call) { messages.insert(String(match.1)) }
            }
            #expect(messages.count > 20)
            for message in messages.sorted() {
                #expect(page.contains("`\(message)`"), "'\(message)' is not documented")
            }
        }

        @Test func pageHasEveryKey() throws {
            let page = try page()
            var keys: Set<String> = []
            for text in try sources("Sources") {
                for match in text.matches(of: #/"([a-z]+\.[a-z]+)": "\\\(/#) {
                    keys.insert(String(match.1))
                }
            }
            #expect(keys.count > 15)
            for key in keys.sorted() {
                #expect(page.contains("`\(key)`"), "'\(key)' is not documented")
            }
        }
    }
}
