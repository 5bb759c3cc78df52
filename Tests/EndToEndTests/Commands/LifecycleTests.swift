import Bytes
import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct LifecycleTests {
        private static let pushType = (
            name: "Content-Type", value: "application/x-git-receive-pack-request"
        )
        private static let fetchType = (
            name: "Content-Type", value: "application/x-git-upload-pack-request"
        )

        private func nothingIsLeft(_ instance: ServerProcess) throws {
            try wait(for: "git and its workspace to go") {
                try instance.children().isEmpty && instance.workspaces().isEmpty
            }
        }

        // MARK: Stopping

        @Test(arguments: [SIGTERM, SIGINT, SIGHUP])
        func signalStopsAcceptingAndFinishesWhatRuns(signal: Int32) throws {
            let held = try Held(at: "push-stored")
            let instance = held.site.instance
            try held.tree.commit("held")
            let push = Background { try held.tree.attempt("push", "origin", "main") }
            try held.waitUntilHeld()
            instance.signal(signal)
            try wait(for: "no more connections to be taken") {
                (try? Sockets.connect(path: instance.socket)) == nil
            }
            #expect(!instance.hasEnded)
            #expect(try held.site.advertisement(held.repository).status == 502)
            try held.release()
            let result = try push.value()
            #expect(result.succeeded, "\(result)")
            #expect(try instance.waitForEnd() == .exited(0))
            #expect(access(instance.socket, F_OK) != 0)
            #expect(try Files.names(in: instance.stateDirectory + "/workspaces") == [])

            var setup = held.site.setup
            setup.environment = [:]
            try expectServed(try Site(setup), held.repository, equals: held.tree)
        }

        @Test(arguments: Room.allCases)
        func secondSignalEndsWhatRunsAndPublishesNothing(room: Room) throws {
            let site = try Site(.file, options: ["--spool-size", room.rawValue])
            let (repository, tree) = try seeded(site)
            let pointer = try site.bucket.pointer(of: repository)
            // The client stays connected.
            let exchange = try unfinishedPush(site, repository, tree, room)
            defer { exchange.hangUp() }
            site.instance.signal(SIGTERM)
            try wait(for: "the socket to go") { access(site.instance.socket, F_OK) != 0 }
            #expect(!site.instance.hasEnded)
            site.instance.signal(SIGTERM)
            #expect(try site.instance.waitForEnd() == .exited(0))
            #expect(try site.bucket.pointer(of: repository) == pointer)
            #expect(try Files.names(in: site.instance.stateDirectory + "/workspaces") == [])
        }

        // MARK: Clients that disconnect

        /// The spool's size.
        enum Room: String, CaseIterable {
            /// git is not started before the body has arrived.
            case enough = "1G"
            /// git receives the body as it arrives.
            case none = "0"
        }

        /// A push of which only the beginning is sent.
        private func unfinishedPush(
            _ site: Site, _ repository: String, _ tree: WorkTree, _ room: Room
        ) throws -> HTTPExchange {
            let tip = try tree.git("rev-parse", "HEAD")
            let bytes = try Command(
                "/usr/bin/head", ["-c", "3M", "/dev/urandom"]
            ).run().checked().output
            let next = try tree.commit("large-\(Hex.random(bytes: 2))", bytes: bytes)
            let body = PushBody(
                [.init(old: tip, new: next, "refs/heads/main")],
                capabilities: "report-status side-band-64k",
                pack: try tree.pack([next, "^\(tip)"])
            ).bytes
            let exchange = try HTTPExchange(
                port: site.nginx.port, "POST", "/git/\(repository).git/git-receive-pack",
                headers: [Site.authorization, Self.pushType, ("Transfer-Encoding", "chunked")])
            try exchange.sendChunk(Array(body[..<(body.count - 1000)]))
            if room == .none {
                try wait(for: "git to run") { try !site.instance.children().isEmpty }
            }
            return exchange
        }

        @Test func clientThatGoesAwayWhileItSendsEndsItsGit() throws {
            let site = try Site(.file, options: ["--spool-size", "0"])
            let (repository, tree) = try seeded(site)
            let pointer = try site.bucket.pointer(of: repository)
            let exchange = try unfinishedPush(site, repository, tree, .none)
            #expect(try site.instance.workspaces().count == 1)
            exchange.hangUp()
            try nothingIsLeft(site.instance)
            #expect(try site.bucket.pointer(of: repository) == pointer)
        }

        @Test func gitClientThatIsKilledWhileItPushesEndsTheServersGit() throws {
            let held = try Held(at: "push-hydrated")
            let pointer = try held.site.bucket.pointer(of: held.repository)
            try held.tree.commit("killed")
            let log = try TemporaryDirectory()
            let client = try Service(
                try Programs.git(),
                ["-C", held.tree.path, "push", held.site.url(held.repository), "main"],
                environment: ["PATH": "/usr/bin:/bin", "HOME": "/nonexistent"],
                log: log.path + "/log")
            try held.waitUntilHeld()
            kill(-client.identifier, SIGKILL)
            _ = try client.waitForEnd()
            try held.release()
            try nothingIsLeft(held.site.instance)
            // Its small body had arrived completely: it may be published, but not in part.
            let now = try held.site.bucket.pointer(of: held.repository)
            if now != pointer {
                try expectServed(held.site, held.repository, equals: held.tree)
            }
        }

        @Test func clientThatGoesAwayWhileItReceivesEndsItsGit() throws {
            let site = try Site.shared(.file)
            let (repository, tree) = try seeded(site)
            let bytes = try Command("/usr/bin/head", ["-c", "16000000", "/dev/urandom"])
                .run().checked().output
            let tip = try tree.commit("large", bytes: bytes)
            try tree.git("push", "-q", "origin", "main")
            let exchange = try HTTPExchange(
                port: site.nginx.port, "POST", "/git/\(repository).git/git-upload-pack",
                headers: [Self.fetchType, ("Content-Length", "\(Site.wants([tip]).count)")])
            try exchange.send(Site.wants([tip]))
            #expect(text(try exchange.receive()).hasPrefix("HTTP/1.1 200 OK"))
            #expect(try site.instance.workspaces().count == 1)
            exchange.hangUp()
            try nothingIsLeft(site.instance)
            #expect(try site.fetch(repository, [tip]).body.count > 8_000_000)
        }

        // MARK: More than one process

        @Test func twoRespondersShareOneStateDirectory() throws {
            let state = try TemporaryDirectory()
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.state = state
            let first = try Site(setup)
            let second = try Site(setup)
            let (repository, tree) = try seeded(first)
            for number in 0..<6 {
                try tree.commit("file-\(number)")
                let site = number % 2 == 0 ? second : first
                try tree.git("push", "-q", site.url(repository), "main")
            }
            try first.instance.stop()
            try tree.commit("after the first has gone")
            try tree.git("push", "-q", second.url(repository), "main")
            try expectServed(second, repository, equals: tree)
            try second.instance.stop()
            #expect(try ServerProcess.workspaces(in: state.path) == [])
        }

        @Test func nextStartSweepsWhatAKilledProcessLeftAndNotALiveOnes() throws {
            let held = try Held(at: "fetch-hydrated")
            let live = try Held(at: "fetch-hydrated")
            let state = held.site.instance.stateDirectory
            let tip = try held.tree.git("rev-parse", "HEAD")
            let doomed = Background { try? held.site.fetch(held.repository, [tip]) }
            try held.waitUntilHeld()

            // A running process with the same state directory.
            var setup = held.site.setup
            setup.environment = [
                "GIT_S3_BACKEND_FAULT": "fetch-hydrated=barrier:\(live.barrier.path)"
            ]
            let beside = try Site(setup)
            let kept = Background { try beside.fetch(held.repository, [tip]) }
            try live.waitUntilHeld()
            #expect(try ServerProcess.workspaces(in: state).count == 2)

            held.site.instance.signal(SIGKILL)
            _ = try held.site.instance.waitForEnd()
            _ = try doomed.value()
            #expect(try ServerProcess.workspaces(in: state).count == 2)
            setup.environment = [:]
            let next = try Site(setup)
            #expect(try ServerProcess.workspaces(in: state).count == 1)
            #expect(try next.fetch(held.repository, [tip]).status == 200)
            try live.release()
            #expect(try kept.value().text.contains("PACK"))
            #expect(try ServerProcess.workspaces(in: state) == [])
        }

        @Test func restartTakesOverTheSameSocketEvenAfterSIGKILL() throws {
            let directory = try TemporaryDirectory()
            let bucket = try StoreUnderTest.file.makeBucket()
            let setup = ServerProcess.Setup(bucket)
            let socket = directory.path + "/socket"
            for signal in [SIGKILL, SIGTERM, SIGKILL] {
                let service = try Service(
                    try Programs.server(),
                    [
                        "serve", "--store", bucket.url(), "--state-dir", directory.path + "/state",
                        "--listen", "unix:\(socket)",
                    ], environment: ServerProcess.environment(setup), log: directory.path + "/log")
                try service.waitUntilReady { (try? Sockets.connect(path: socket)) != nil }
                let answer = try FastCGI.request(
                    on: try Sockets.connect(path: socket),
                    ["REQUEST_METHOD": "GET", "PATH_INFO": "/a/b/info/refs"])
                #expect(answer.status == 403)
                service.signal(signal)
                let ending = try service.waitForEnd()
                #expect(ending == (signal == SIGKILL ? .signalled(SIGKILL) : .exited(0)))
                #expect((access(socket, F_OK) == 0) == (signal == SIGKILL))
            }
        }

        @Test func socketInUseIsNotTaken() throws {
            let site = try Site.shared(.file)
            let result = try Command(
                try Programs.server(),
                [
                    "serve", "--store", site.setup.storeURL, "--state-dir",
                    site.instance.stateDirectory, "--listen", "unix:\(site.instance.socket)",
                ], environment: ServerProcess.environment(site.setup)
            ).run()
            #expect(result.ending == .exited(1))
            #expect(result.errors.contains("Address already in use"))
            let repository = try site.create()
            #expect(try site.advertisement(repository).status == 200)
        }

        // MARK: Many at once

        @Test func thirtyRequestsOnThreeWorkersAreAllServed() throws {
            let site = try Site(.file, options: ["--workers", "3", "--max-git", "2"])
            let (repository, tree) = try seeded(site)
            let tip = try tree.git("rev-parse", "HEAD")
            let statuses = try concurrently(30) { number in
                switch number % 3 {
                case 0: try site.advertisement(repository).status
                case 1: try site.fetch(repository, [tip]).text.contains("PACK") ? 200 : 0
                default:
                    try site.http.send(
                        "GET", "/git/team/none.git/info/refs?service=git-upload-pack"
                    ).status == 404 ? 200 : 0
                }
            }
            #expect(statuses == Array(repeating: 200, count: 30))
            try nothingIsLeft(site.instance)
        }

        @Test func clientsThatSendNothingDoNotKeepOthersFromBeingServed() throws {
            let site = try Site(.file, options: ["--workers", "8"])
            let (repository, _) = try seeded(site)
            let silent = try (0..<5).map { _ in
                try HTTPExchange(
                    port: site.nginx.port, "POST", "/git/\(repository).git/git-upload-pack",
                    headers: [Self.fetchType, ("Content-Length", "1000")])
            }
            #expect(try site.advertisement(repository).status == 200)
            for exchange in silent { exchange.hangUp() }
            try site.instance.stop()
        }
    }
}
