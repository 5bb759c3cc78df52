import Bytes
import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// Workspaces that are cleared while pushes run. P3
    @Suite struct ClearedStateTests {
        /// Random numbers that depend only on a seed. SplitMix64, by Sebastiano Vigna.
        private struct Seeded: RandomNumberGenerator {
            var state: UInt64

            mutating func next() -> UInt64 {
                state &+= 0x9e37_79b9_7f4a_7c15
                var z = state
                z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
                z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
                return z ^ (z >> 31)
            }
        }

        /// A repository, and the commits that are pushed to it one by one.
        private struct Line {
            let repository: String
            let commits: [String]
            /// The pack that each commit adds to the previous one.
            let packs: [[UInt8]]
            /// The number of commits that are known to be published.
            var published = 0

            var isDone: Bool { published == commits.count }

            /// The body of the next push.
            var next: PushBody {
                PushBody(
                    [
                        .init(
                            old: published == 0 ? nil : commits[published - 1],
                            new: commits[published], "refs/heads/main")
                    ], capabilities: "report-status", pack: packs[published])
            }

            /// Creates a linear history.
            init(_ repository: String, in tree: WorkTree, _ count: Int) throws {
                self.repository = repository
                let branch = "refs/heads/\(repository)"
                var stream = ""
                for number in 1...count {
                    stream += """
                        commit \(branch)
                        committer A U Thor <author@example.com> \(1_700_000_000 + number) +0000
                        data 1
                        m
                        M 100644 inline \(repository)/file-\(number % 7)
                        data 41
                        \(Hex.random(bytes: 20))


                        """
                }
                try tree.git("fast-import", "--quiet", input: .bytes(Array(stream.utf8)))
                let commits = try tree.git("rev-list", "--reverse", branch)
                    .split(separator: "\n").map(String.init)
                self.commits = commits
                packs = try commits.indices.map { number in
                    try tree.pack(
                        [commits[number]] + (number == 0 ? [] : ["^\(commits[number - 1])"]))
                }
            }
        }

        /// A git that clears the workspaces once per round, shortly after it has run.
        private struct Clearing {
            private let scratch: TemporaryDirectory
            let git: HarmfulGit

            /// One of the pushes of a round starts the clear, after its git has ended.
            init(of state: TemporaryDirectory) throws {
                scratch = try TemporaryDirectory()
                try scratch.file(
                    "clear",
                    """
                    mkdir apart
                    sleep "$1"
                    rm -rf '\(state.path)/workspaces'
                    mkdir done

                    """)
                git = try HarmfulGit(
                    after: ["for-each-ref", "show-ref"],
                    """
                    cd '\(scratch.path)'
                    if mkdir begun 2>/dev/null; then
                        setsid sh ./clear "$(cat delay)" </dev/null >/dev/null 2>&1 &
                        # With git's process group it would be ended, too.
                        while [ ! -e apart ]; do :; done
                    fi
                    """)
            }

            /// - Parameter delay: microseconds.
            func prepare(delay: Int) throws {
                for name in ["begun", "apart", "done"] {
                    Files.removeTree("\(scratch.path)/\(name)")
                }
                let digits = String(1_000_000 + delay).dropFirst()
                try scratch.file("delay", "0.\(digits)")
            }

            /// Waits for the end of the clear, if one has started.
            func finish() throws {
                guard access(scratch.path + "/begun", F_OK) == 0 else { return }
                try wait(for: "the end of a clear") {
                    access(scratch.path + "/done", F_OK) == 0
                }
            }
        }

        /// The total number of pushes.
        private static let pushes = 400
        /// Concurrent pushes, each to a repository of its own.
        private static let width = 4

        @Test func pushDuringAClearIsWholeOrRefused() throws {
            let seed = UInt64.random(in: 0...UInt64.max)
            do {
                try clear(seed)
            } catch {
                Issue.record("seed \(seed): \(error)")
            }
        }

        private func clear(_ seed: UInt64) throws {
            var random = Seeded(state: seed)
            let state = try TemporaryDirectory()
            let clearing = try Clearing(of: state)
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.state = state
            setup.options = ["--compact-at", "0"]
            setup.environment = ["PATH": clearing.git.searchPath]
            let site = try Site(setup)
            let tree = try WorkTree.make()
            var lines = try (0..<Self.width).map { _ in
                try Line(try site.create(), in: tree, Self.pushes / Self.width)
            }

            try clearing.git.begin()
            var (told, refused) = (0, 0)
            while lines.contains(where: { !$0.isDone }), refused < 4000 {
                // A process whose directory is gone may refuse all further pushes, so each round
                // has a process of its own.
                let instance = try ServerProcess(setup)
                try clearing.prepare(delay: Int.random(in: 0...6000, using: &random))
                let now = lines
                let answers = try concurrently(now.count) { number in
                    now[number].isDone ? nil : try Self.push(now[number], to: instance)
                }
                try clearing.finish()
                for (number, answer) in answers.enumerated() {
                    guard let answer else { continue }
                    let isTold = try Self.check(&lines[number], answer, site.bucket)
                    if isTold { told += 1 } else { refused += 1 }
                }
                try instance.stop()
            }
            // The delays range from before a push reads its files until after it has stored them.
            #expect(refused > 0, "seed \(seed): no clear met a push")
            #expect(told + refused >= Self.pushes, "seed \(seed)")
            for line in lines { try Self.checkWhole(line, setup, seed) }
        }

        private static func push(_ line: Line, to instance: ServerProcess) throws -> HTTPMessage {
            let variables = [
                "REQUEST_METHOD": "POST", "SCRIPT_NAME": "/git",
                "PATH_INFO": "/\(line.repository).git/git-receive-pack", "QUERY_STRING": "",
                "CONTENT_TYPE": "application/x-git-receive-pack-request",
                "CONTENT_LENGTH": "\(line.next.bytes.count)", "REMOTE_USER": "alice",
                "REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1",
            ]
            return try FastCGI.request(
                on: try Sockets.connect(path: instance.socket), variables, body: line.next.bytes)
        }

        /// Expects that a push whose report contains `ok` is published with a pack of its own, and
        /// that any other push left either the old state, or the new one with its pack.
        ///
        /// - Returns: whether its report contains `ok`.
        private static func check(
            _ line: inout Line, _ answer: HTTPMessage, _ bucket: Bucket
        ) throws -> Bool {
            let manifest = text(
                try bucket.read(.manifest(try bucket.pointer(of: line.repository))) ?? [])
            let isTold = answer.text.contains("ok refs/heads/main")
            let isPublished = manifest.contains(line.commits[line.published])
            if isTold, !isPublished { throw TestFailure("told ok, and not there: \(manifest)") }
            if !isTold, answer.status < 500, !answer.text.contains("ng refs/heads/main") {
                throw TestFailure("neither told nor refused: \(answer.start) \(answer.text)")
            }
            if isPublished { line.published += 1 }
            let packs = try bucket.packs(of: line.repository)
            guard packs.count == line.published else {
                throw TestFailure("\(packs.count) packs after \(line.published) pushes")
            }
            return isTold
        }

        /// Expects that the published state can be cloned and passes fsck.
        private static func checkWhole(
            _ line: Line, _ setup: ServerProcess.Setup, _ seed: UInt64
        ) throws {
            var setup = setup
            setup.state = nil
            setup.environment = [:]
            let site = try Site(setup)
            let copy = try WorkTree.clone(site.anonymousURL(line.repository), "-q", "--mirror")
            try copy.git("fsck", "--full", "--strict", "--no-dangling")
            #expect(try copy.git("rev-parse", "main") == line.commits.last, "seed \(seed)")
        }
    }
}
