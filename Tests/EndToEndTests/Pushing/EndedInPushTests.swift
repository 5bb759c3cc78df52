import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// Pushes by CGI that get a signal at some time between git's end and their own, as from a web
    /// server whose client has disconnected.
    @Suite struct EndedInPushTests {
        /// A git that reports the end of each `for-each-ref`, with which a push reads its refs, to
        /// a FIFO.
        private final class ReportingGit {
            let directory: TemporaryDirectory
            private let fifo: OwnedDescriptor

            init() throws {
                directory = try TemporaryDirectory()
                let path = directory.path + "/ended"
                if mkfifo(path, 0o600) != 0 { throw SystemError("mkfifo", path) }
                // Opened in both directions, so that a writer never waits for a reader.
                fifo = try OwnedDescriptor.open(path, O_RDWR | O_NONBLOCK)
                let script = try directory.file(
                    "git",
                    """
                    #!/bin/sh
                    '\(try Programs.git())' "$@"
                    status=$?
                    case " $* " in *" for-each-ref "*) echo >'\(path)' ;; esac
                    exit $status
                    """)
                chmod(script, 0o755)
            }

            /// Discards earlier reports.
            func drain() {
                var bytes = [UInt8](repeating: 0, count: 1000)
                while read(fifo.raw, &bytes, bytes.count) > 0 {}
            }

            /// Waits for the end of a `for-each-ref`.
            func wait() throws {
                var polled = pollfd(fd: fifo.raw, events: Int16(POLLIN), revents: 0)
                let count = try check("poll") { poll(&polled, 1, 60_000) }
                guard count > 0 else { throw TestFailure("git was not asked for refs") }
                var byte: UInt8 = 0
                #expect(read(fifo.raw, &byte, 1) == 1)
            }
        }

        /// A repository, and pushes to it of one commit each.
        private final class Pusher {
            let git = Result { try ReportingGit() }
            let site: Site
            let state: TemporaryDirectory
            let cgi: CGIRun
            let repository: String
            let tree: WorkTree
            private let environment: [String: String]
            private var tip: String
            private var packs = 1

            init() throws {
                state = try TemporaryDirectory()
                var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
                setup.state = state
                site = try Site(setup)
                setup.environment["PATH"] = try git.get().directory.path + ":/usr/bin:/bin"
                cgi = try CGIRun(setup)
                (repository, tree) = try seeded(site)
                tip = try tree.git("rev-parse", "main")
                let push = [
                    "CONTENT_TYPE": "application/x-git-receive-pack-request",
                    "REMOTE_USER": "alice",
                ]
                environment = cgi.environment("POST", "/\(repository).git/git-receive-pack")
                    .merging(push) { $1 }
            }

            struct Outcome {
                let wasEnded: Bool
                let isPublished: Bool
                /// From the end of `for-each-ref` to the end of the process.
                let time: Duration
            }

            /// Pushes, and sends SIGTERM this many microseconds after the end of `for-each-ref`.
            func push(endedAfter delay: UInt32? = nil) throws -> Outcome {
                let next = try tree.git("commit-tree", "-p", tip, "-m", "next", "\(tip)^{tree}")
                let body = PushBody(
                    [.init(old: tip, new: next, "refs/heads/main")], capabilities: "report-status",
                    pack: try tree.pack([next, "^\(tip)"]))
                let command = Command(
                    try Programs.server(), [], environment: environment, input: .bytes(body.bytes))
                try git.get().drain()
                let child = try command.start()
                try git.get().wait()
                let start = ContinuousClock.now
                if let delay {
                    usleep(delay)
                    child.signal(SIGTERM)
                }
                let result = try child.finish()
                let time = ContinuousClock.now - start
                let (ending, said) = (result.ending, result.text)
                let expected = delay == nil ? [0] : [0, 128 + SIGTERM]
                #expect(expected.map { .exited($0) }.contains(ending), "\(said)")
                return Outcome(
                    wasEnded: ending != .exited(0), isPublished: try isPublished(next, said),
                    time: time)
            }

            /// Whether a push is completely published; otherwise nothing of it is.
            private func isPublished(_ next: String, _ said: String) throws -> Bool {
                let manifest = text(
                    try site.bucket.read(.manifest(try site.bucket.pointer(of: repository))) ?? [])
                let found = try site.bucket.packs(of: repository).count
                guard manifest.contains(next) else {
                    #expect(manifest.contains(tip) && found == packs, "\(manifest)")
                    #expect(!said.contains("ok refs/heads/main"), "\(said)")
                    return false
                }
                #expect(found == packs + 1, "without its pack: \(manifest)")
                (tip, packs) = (next, found)
                try tree.git("update-ref", "refs/heads/main", next)
                return true
            }
        }

        // P2
        @Test func signalledAtAnyTimeAfterGitsEndAPushIsPublishedWholeOrNotAtAll() throws {
            let pusher = try Pusher()
            // With many packs, removing a workspace takes long. How long the rest of a push takes
            // depends on the machine.
            var rest = Duration.milliseconds(6)
            for _ in 0..<40 {
                let outcome = try pusher.push()
                #expect(outcome.isPublished)
                rest = outcome.time
            }
            let longest = UInt32(min(max(6500, rest / .microseconds(1)), 1e6))
            var random = SplitMix64(seed: 20_251_126)
            var (ended, published) = (0, 0)
            for _ in 0..<300 {
                let delay = UInt32.random(in: 0...longest, using: &random)
                let outcome = try pusher.push(endedAfter: delay)
                if outcome.wasEnded { ended += 1 }
                if outcome.isPublished { published += 1 }
            }
            #expect(ended > 0)
            print("300 pushes: \(ended) ended by the signal, \(published) published")
            try expectServed(pusher.site, pusher.repository, equals: pusher.tree)
            // Each process removed its own workspace, or the next one did.
            _ = try pusher.cgi.request("GET", "/\(pusher.repository).git/HEAD")
            #expect(try ServerProcess.workspaces(in: pusher.state.path) == [])
        }

        // P2
        @Test func nothingIsRemovedBeneathARunningThread() throws {
            let barrier = try TemporaryDirectory()
            let state = try TemporaryDirectory()
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.state = state
            let (repository, tree) = try seeded(try Site(setup))
            setup.environment = [
                "GIT_S3_BACKEND_FAULT": "push-received=barrier:\(barrier.path)"
            ]
            let tip = try tree.git("rev-parse", "main")
            let next = try tree.commit("next")
            let body = PushBody(
                [.init(old: tip, new: next, "refs/heads/main")], capabilities: "report-status",
                pack: try tree.pack([next, "^\(tip)"]))
            let environment = try CGIRun(setup).environment(
                "POST", "/\(repository).git/git-receive-pack"
            ).merging([
                "CONTENT_TYPE": "application/x-git-receive-pack-request", "REMOTE_USER": "alice",
            ]) { $1 }
            let program = try Programs.server()
            let child = try Command(
                program, [], environment: environment, input: .bytes(body.bytes)
            ).start()
            try wait(for: "the push to be held") { try !Files.names(in: barrier.path).isEmpty }
            // So many files that the test can observe the removal.
            let workspace = try #require(try ServerProcess.workspaces(in: state.path).first)
            let many = "\(state.path)/workspaces/\(workspace)/many"
            try Files.makeDirectories(many)
            for number in 0..<20_000 { close(open("\(many)/\(number)", O_CREAT, 0o600)) }
            child.signal(SIGTERM)
            var running = ""
            try wait(for: "the removal") {
                guard (try? Files.names(in: many))?.count ?? 0 < 20_000 else { return false }
                var target = [CChar](repeating: 0, count: Int(PATH_MAX))
                let count = readlink("/proc/\(child.identifier)/exe", &target, target.count - 1)
                let path = target.prefix(max(0, count)).map { UInt8(bitPattern: $0) }
                running = text(path)
                return true
            }
            #expect(running != program)
            #expect(try child.finish().ending == .exited(128 + SIGTERM))
            #expect(try Files.names(in: state.path + "/workspaces") == [])
        }
    }
}
