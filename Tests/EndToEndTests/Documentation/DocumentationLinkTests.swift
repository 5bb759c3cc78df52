import Glibc
import TestSupport
import Testing

extension EndToEnd {
    /// Links in the README, the changelog and the pages, resolved as GitHub does and as in a clone.
    @Suite struct DocumentationLinkTests {
        /// The text of a page without code, which contains neither links nor headings.
        private func prose(_ page: String) throws -> [Substring] {
            var isCode = false
            return try Documentation.file(page)
                .split(separator: "\n", omittingEmptySubsequences: false)
                .filter { line in
                    if line.hasPrefix("```") { isCode.toggle() }
                    return !isCode && !line.hasPrefix("    ")
                }
        }

        /// The anchors of a page's headings, as GitHub generates them: lowercase, with hyphens for
        /// spaces, without punctuation, and numbered if they are repeated.
        private func anchors(_ page: String) throws -> Set<String> {
            var anchors: Set<String> = []
            for line in try prose(page) where line.hasPrefix("#") {
                let heading = line.drop { $0 == "#" }.drop { $0 == " " }
                let base = heading.lowercased().filter {
                    $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" || $0 == " "
                }.replacing(" ", with: "-")
                var anchor = base
                var number = 0
                while !anchors.insert(anchor).inserted {
                    number += 1
                    anchor = "\(base)-\(number)"
                }
            }
            return anchors
        }

        private func exists(_ path: String) -> Bool {
            access("\(Documentation.root)/\(path)", F_OK) == 0
        }

        @Test func relativeLinksLeadToFilesAndAnchorsThatExist() throws {
            var count = 0
            for page in try Documentation.pages() + ["CHANGELOG.md"] {
                let directory = page.split(separator: "/").dropLast().joined(separator: "/")
                let text = try prose(page).joined(separator: "\n")
                let links =
                    text.matches(of: #/\]\(([^)\s]+)\)/#).map { String($0.1) }
                    + text.matches(of: #/(?:src|srcset)="([^"]+)"/#).map { String($0.1) }
                for link in links where !link.contains("://") {
                    count += 1
                    let parts = link.split(
                        separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
                    let file = String(parts[0])
                    let target =
                        file.isEmpty ? page : directory.isEmpty ? file : "\(directory)/\(file)"
                    guard exists(target) else {
                        Issue.record("\(page): \(link) does not exist")
                        continue
                    }
                    if parts.count == 2 {
                        #expect(
                            try anchors(target).contains(String(parts[1])),
                            "\(page): \(link) has no such heading")
                    }
                }
            }
            #expect(count > 100)
        }

        @Test func pagesHaveNoLinksThatOnlyDocCFollows() throws {
            for page in try Documentation.pages() {
                #expect(try !Documentation.file(page).contains("<doc:"), "\(page)")
            }
        }

        @Test func readmeAndTheLandingPageLinkEveryPage() throws {
            let readme = try Documentation.file("README.md")
            let pages = try Documentation.pages().dropFirst()
            let landing = try #require(pages.first { $0.hasSuffix("/git-s3-backend.md") })
            for page in pages where page != landing {
                #expect(readme.contains("(\(page))"), "README.md: \(page)")
                let name = try #require(page.split(separator: "/").last)
                #expect(try Documentation.file(landing).contains("(\(name))"), "\(name)")
            }
        }
    }
}
