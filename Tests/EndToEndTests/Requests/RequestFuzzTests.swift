import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// Requests for which git's server is not prepared: G6.
    @Suite(.tags(.fuzz)) struct RequestFuzzTests {
        /// A site whose git records how it was started, and whether a signal ended it.
        private struct Watched {
            let site: Site
            let repository: String
            let tree: WorkTree
            private let directory: TemporaryDirectory

            init() throws {
                directory = try TemporaryDirectory()
                let git = try Programs.git()
                let script = directory.path + "/git"
                try Files.write(
                    Array(
                        """
                        #!/bin/sh
                        case " $* " in *" --stateless-rpc "*) ;; *) exec '\(git)' "$@" ;; esac
                        echo started >>'\(directory.path)/started'
                        '\(git)' "$@"
                        status=$?
                        [ $status -le 128 ] || echo "$status $*" >>'\(directory.path)/killed'
                        exit $status

                        """.utf8), to: script, mode: 0o755)
                site = try Site(.file, environment: ["PATH": "\(directory.path):/usr/bin:/bin"])
                (repository, tree) = try seeded(site)
            }

            func starts() throws -> Int {
                guard let bytes = try? Files.read(directory.path + "/started") else { return 0 }
                return bytes.count { $0 == UInt8(ascii: "\n") }
            }

            /// The git commands that a signal ended.
            func killed() -> String {
                (try? Files.read(directory.path + "/killed")).map { text($0) } ?? ""
            }

            func post(_ service: String, _ version: Int, _ bytes: [UInt8]) throws -> HTTPMessage {
                try site.http.send(
                    "POST", "/git/\(repository).git/git-\(service)",
                    headers: [
                        Site.authorization,
                        ("Content-Type", "application/x-git-\(service)-request"),
                        ("Git-Protocol", "version=\(version)"),
                    ], body: .bytes(bytes))
            }
        }

        @Test func responseEndIs400AndGitIsNotStarted() throws {
            let watched = try Watched()
            let tip = try watched.tree.git("rev-parse", "HEAD")
            let before = try watched.starts()
            let end = Array("0002".utf8)
            let command = PktLines.line("command=fetch")
            let arguments = PktLines.line("want \(tip)") + PktLines.line("done")
            for (what, bytes) in [
                ("alone", end), ("behind the command", command + end),
                ("behind the arguments", command + PktLines.delimiter + arguments + end),
                (
                    "before the flush",
                    command + PktLines.delimiter + arguments + end + PktLines.flush
                ),
                ("behind a capability", command + PktLines.line("agent=x") + end),
                ("behind another command", PktLines.line("command=ls-refs") + end),
                ("of a length of three", Array("0003".utf8)),
                (
                    "with a filter that is nested",
                    command + PktLines.delimiter
                        + PktLines.line(
                            "filter " + String(repeating: "combine:", count: 8000) + "blob:none")
                        + arguments + PktLines.flush
                ),
            ] {
                for version in 0...2 {
                    let answer = try watched.post("upload-pack", version, bytes)
                    #expect(answer.status == 400, "\(what), \(version): \(answer.start)")
                }
            }
            for bytes in [end, end + PktLines.flush] {
                #expect(try watched.post("receive-pack", 0, bytes).status == 400)
            }
            #expect(try watched.starts() == before)
            #expect(!watched.site.log.contains("BUG"), "\(watched.site.log)")
        }

        /// A generator of reproducible numbers. Steele, Lea and Flood, "Fast splittable
        /// pseudorandom number generators" (SplitMix64).
        private struct Generator: RandomNumberGenerator {
            var state: UInt64

            mutating func next() -> UInt64 {
                state &+= 0x9e37_79b9_7f4a_7c15
                var mixed = state
                mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
                mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
                return mixed ^ (mixed >> 31)
            }
        }

        @Test(arguments: 1...4)
        func anySequenceOfLinesIsAnsweredAndGitDiesOfNoSignal(seed: UInt64) throws {
            let watched = try Watched()
            let tip = try watched.tree.git("rev-parse", "HEAD")
            let blob = try watched.tree.git("rev-parse", "HEAD:README")
            let none = String(repeating: "1", count: 40)
            let zero = String(repeating: "0", count: 40)
            let lines = [
                "command=fetch", "command=ls-refs", "command=object-info", "command=x", "agent=x",
                "object-format=sha1", "object-format=sha256", "server-option=x", "want \(tip)",
                "want \(blob)", "want \(none)", "want x", "have \(tip)", "have \(none)", "have",
                "done", "thin-pack", "no-progress", "include-tag", "ofs-delta", "shallow \(tip)",
                "shallow \(blob)", "shallow \(none)", "deepen 1", "deepen 0", "deepen x",
                "deepen-since 1", "deepen-since x", "deepen-not refs/heads/main", "deepen-not x",
                "deepen-relative", "filter blob:none", "filter tree:0", "filter tree:9",
                "filter sparse:oid=\(blob)", "filter combine:", "filter combine:%+", "filter",
                "want-ref refs/heads/main", "sideband-all", "packfile-uris https", "wait-for-done",
                "peel", "symrefs", "unborn", "ref-prefix refs/", "ref-prefix", "size", "oid \(tip)",
                "oid x", "ERR x", "", "\0", "\n", "want \(tip) multi_ack_detailed side-band-64k",
                "want \(tip) filter shallow deepen-since no-done", "push-cert\0x",
                "\(zero) \(tip) refs/heads/x", "\(tip) \(zero) refs/heads/main\0report-status",
                "\(zero) \(none) refs/heads/y\0report-status push-options atomic",
            ].map { PktLines.line($0) }
            let special = ["0000", "0001", "0002", "0003", "0004", "00", "zzzz", "PACK"]
                .map { Array($0.utf8) }
            var generator = Generator(state: seed)
            for round in 0..<60 {
                let place = "seed \(seed), round \(round)"
                var bytes: [UInt8] = []
                for _ in 0..<Int.random(in: 0...9, using: &generator) {
                    let isSpecial = Int.random(in: 0..<4, using: &generator) == 0
                    bytes += (isSpecial ? special : lines).randomElement(using: &generator) ?? []
                }
                if Bool.random(using: &generator) { bytes += PktLines.flush }
                for version in 0...2 {
                    let answer = try watched.post("upload-pack", version, bytes)
                    #expect(
                        (200..<500).contains(answer.status),
                        "\(place), version \(version): \(text(bytes)): \(answer.start)")
                }
                let answer = try watched.post("receive-pack", 0, bytes)
                #expect(
                    (200..<500).contains(answer.status),
                    "\(place), push: \(text(bytes)): \(answer.start)")
            }
            #expect(watched.killed() == "")
            #expect(!watched.site.log.contains("BUG"))
            try expectServed(watched.site, watched.repository, equals: watched.tree)
        }
    }
}
