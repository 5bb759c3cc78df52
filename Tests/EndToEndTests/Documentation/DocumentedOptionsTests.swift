import TestSupport
import Testing

extension EndToEnd {
    /// The tables of options and variables in the README and the pages, compared with the program's
    /// help.
    @Suite struct DocumentedOptionsTests {
        private static let prefix = "GIT_S3_BACKEND_"
        /// Variables without a corresponding option.
        private static let onlyVariables: Set<String> = ["\(prefix)LOG_LEVEL"]
        /// Options of every command, and those of the library.
        private static let common: Set<String> = [
            "--store", "--state-dir", "--allow-shared-state-dir", "--version", "--help",
        ]

        /// The options in a help text, with their defaults.
        private func options(of command: String) throws -> [String: String?] {
            let help = try CommandPlace.run([command, "--help"]).checked().text
            var options: [String: String?] = [:]
            // An option starts a line with two spaces; its description follows.
            for part in help.split(separator: "\n  --").dropFirst() {
                let text = part.split(whereSeparator: \.isWhitespace).joined(separator: " ")
                let name = text.prefix { $0.isLetter || $0 == "-" }
                let value = text.firstMatch(of: #/\(default: ([^)]*)\)/#).map { String($0.1) }
                options["--\(name)"] = .some(value)
            }
            #expect(options.keys.contains("--version"), "\(help)")
            return options
        }

        private func commands() throws -> [String] {
            let help = try CommandPlace.run(["--help"]).checked().text
            let list = try #require(help.split(separator: "SUBCOMMANDS:\n").last)
            return list.split(separator: "\n").prefix { !$0.contains("See '") }
                .compactMap { $0.firstMatch(of: #/^  ([a-z]+) /#).map { String($0.1) } }
        }

        private func text() throws -> String {
            try Documentation.pages().map { try Documentation.file($0) }.joined(separator: "\n")
        }

        /// The cells of every row whose second cell is a variable.
        private func rows() throws -> [[String]] {
            try text().split(separator: "\n").filter { $0.hasPrefix("| ") }.compactMap { line in
                let cells = line.split(separator: "|").map { cell in
                    String(cell.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
                }
                return cells.count >= 3 && cells[1].hasPrefix("`\(Self.prefix)") ? cells : nil
            }
        }

        private func variable(of option: String) -> String {
            Self.prefix + option.dropFirst(2).uppercased().replacing("-", with: "_")
        }

        @Test func tablesListEveryOptionOfServeWithItsVariableAndDefault() throws {
            let options = try options(of: "serve").filter {
                !["--version", "--help"].contains($0.key)
            }
            let rows = try rows()
            for (option, value) in options {
                let found = rows.filter { $0[0] == "`\(option)`" }
                #expect(!found.isEmpty, "\(option) is not documented")
                for row in found {
                    #expect(row[1] == "`\(variable(of: option))`")
                    guard let value, let number = value.split(separator: " ").first else {
                        continue
                    }
                    let cell = row[2].replacing(" ", with: "").replacing("GiB", with: "G")
                    #expect(
                        cell.contains(number), "\(option): the default is \(value), not \(cell)")
                }
            }
            for row in rows where !row[0].isEmpty {
                #expect(options.keys.contains { row[0] == "`\($0)`" }, "\(row[0]) does not exist")
            }
        }

        @Test func documentationNamesNoVariableThatDoesNotExist() throws {
            var known = Self.onlyVariables
            for option in try options(of: "serve").keys { known.insert(variable(of: option)) }
            for name in try text().matches(of: #/GIT_S3_BACKEND_[A-Z_]*[A-Z]/#).map({ String($0.0) }
            ) {
                #expect(known.contains(name), "\(name)")
            }
            let rows = try rows()
            for name in Self.onlyVariables {
                #expect(rows.contains { $0[1] == "`\(name)`" }, "\(name) is not documented")
            }
        }

        @Test func documentationNamesEveryCommandAndItsOptions() throws {
            let text = try text()
            let commands = try commands()
            #expect(commands.count > 10)
            for command in commands {
                #expect(text.contains(try Regex("\n\\| `\(command)[ `]")), "\(command)")
                for option in try options(of: command).keys where !Self.common.contains(option) {
                    #expect(text.contains(try Regex("\(option)[`: ]")), "\(command) \(option)")
                }
            }
        }
    }
}
