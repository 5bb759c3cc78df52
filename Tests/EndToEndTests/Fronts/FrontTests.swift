import Glibc
import Posix
import Synchronization
import TestSupport
import Testing

extension EndToEnd {
    /// The same tests behind every web server, with the shipped or documented configuration.
    @Suite(.tags(.front)) struct FrontTests {
        @Test(arguments: Front.allCases)
        func everyKindOfPushComesBack(front: Front) throws {
            let site = try front.shared()
            let (repository, tree) = try seeded(site)
            try tree.git("tag", "-a", "-m", "one", "v1")
            // Larger than git's buffer, so that it is sent in chunks.
            try tree.git("config", "http.postBuffer", "1000")
            try tree.commit("large", bytes: try randomBytes(300_000))
            try tree.git("push", "-q", "origin", "main", "v1", "main:gone")
            try tree.git("push", "-q", "origin", ":gone")
            try expectServed(site, repository, equals: tree)

            // The client has so many commits that it compresses its request.
            let reader = try WorkTree.clone(site.anonymousURL(repository), "-q")
            for number in 0..<60 {
                try reader.git("commit", "-q", "--allow-empty", "-m", "\(number)")
            }
            try tree.commit("more")
            try tree.git("push", "-q", "--force", "origin", "main")
            try reader.git("fetch", "-q")
            #expect(try reader.git("rev-parse", "origin/main") == tree.git("rev-parse", "main"))
            #expect(try site.leftovers() == [])
        }

        @Test(arguments: [Front.apacheFCGID, .apacheCGID])
        func programsThatApacheStartsReachABucket(front: Front) throws {
            let site = try front.makeSite(
                ServerProcess.Setup(try StoreUnderTest.seaweed.makeBucket()))
            let (repository, tree) = try seeded(site)
            try tree.commit("large", bytes: try randomBytes(3_000_000))
            try tree.git("push", "-q", "origin", "main")
            try expectServed(site, repository, equals: tree)
            #expect(!site.log.contains("store passed the conformance probe"))
        }

        @Test(arguments: Front.allCases)
        func oneOfSixPushesToABranchWinsAndAllToDifferentBranches(front: Front) throws {
            let barrier = try TemporaryDirectory()
            try Account.ofWebServers()?.give(barrier.path)
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.environment = [
                "GIT_S3_BACKEND_FAULT": "push-hydrated=barrier:\(barrier.path)",
                "GIT_S3_BACKEND_MAX_GIT": "16", "GIT_S3_BACKEND_PUSH_ATTEMPTS": "20",
            ]
            try barrier.file("go", "")
            let site = try front.makeSite(setup)
            let (repository, _) = try seeded(site)
            let trees = try (0..<6).map { _ in try WorkTree.clone(site.url(repository), "-q") }
            let tips = try trees.enumerated().map { try $1.commit("file-\($0)") }

            func push(_ refs: @escaping @Sendable (Int) -> String) throws -> [CommandResult] {
                for name in try Files.names(in: barrier.path) {
                    Files.removeTree("\(barrier.path)/\(name)")
                }
                let pushes = trees.enumerated().map { number, tree in
                    Background { try tree.attempt("push", "origin", refs(number)) }
                }
                try wait(for: "six pushes to be held", upTo: .seconds(60)) {
                    try Files.names(in: barrier.path).count == 6
                }
                try barrier.file("go", "")
                return try pushes.map { try $0.value() }
            }
            let contested = try push { _ in "main" }
            let winner = try #require(contested.firstIndex { $0.succeeded })
            for (number, outcome) in contested.enumerated() where number != winner {
                #expect(outcome.errors.contains("[remote rejected]"), "\(outcome)")
            }
            try expectServed(site, repository, equals: trees[winner])

            for outcome in try push({ "main:writer-\($0)" }) {
                #expect(outcome.succeeded, "\(outcome)")
            }
            let copy = try WorkTree.clone(site.anonymousURL(repository), "-q", "--mirror")
            try copy.git("fsck", "--full", "--strict", "--no-dangling")
            #expect(try tips.indices.map { try copy.git("rev-parse", "writer-\($0)") } == tips)
            // However many processes that started: if none is running at first, `create` has probed
            // the store for all of them.
            if !front.hasResponder {
                #expect(!site.log.contains("store passed the conformance probe"))
            }
            #expect(try site.leftovers() == [])
        }

        @Test(arguments: Front.allCases)
        func hookAndLogGetTheUserOfAPush(front: Front) throws {
            let copy = try ProgramCopy()
            try copy.open()
            let mark = try TemporaryDirectory()
            try Account.ofWebServers()?.give(mark.path)
            try copy.replaceHook(
                by: """
                    echo "$REMOTE_USER $REMOTE_ADDR $GIT_COMMITTER_NAME $GIT_COMMITTER_EMAIL" \
                        >'\(mark.path)/who'
                    exec '\(copy.hook).built'
                    """)
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.program = copy.program
            let site = try front.makeSite(setup)
            let (repository, tree) = try seeded(site)
            try expectServed(site, repository, equals: tree)
            let who = text(try Files.read(mark.path + "/who"))
            #expect(who == "alice 127.0.0.1 alice alice@http.127.0.0.1\n")
            #expect(site.log.contains("push.user=alice"), "\(site.log)")
            #expect(!site.log.contains("wonderland"))
        }

        @Test(arguments: Front.allCases)
        func fiftyRequestsAtOnceAreAllAnswered(front: Front) throws {
            let site = try front.shared()
            let (repository, tree) = try seeded(site)
            let tip = try tree.git("rev-parse", "HEAD")
            let statuses = try concurrently(50) { number in
                switch number % 5 {
                case 0: try site.fetch(repository, [tip]).text.contains("PACK") ? 200 : 0
                case 1:
                    try site.http.send(
                        "GET", "/git/team/none.git/info/refs?service=git-upload-pack"
                    ).status == 404 ? 200 : 0
                default: try site.advertisement(repository).status
                }
            }
            #expect(statuses == Array(repeating: 200, count: 50))
            #expect(try site.leftovers() == [])
        }

        @Test(arguments: Front.allCases)
        func webServerRestartUnderLoadLosesNoReportedPush(front: Front) throws {
            let site = try front.makeSite(ServerProcess.Setup(try StoreUnderTest.file.makeBucket()))
            let (repository, _) = try seeded(site)
            let trees = try (0..<4).map { _ in try WorkTree.clone(site.url(repository), "-q") }
            let done = Atomic(0)
            let writers = trees.enumerated().map { number, tree in
                Background {
                    try (0..<4).compactMap { round -> String? in
                        let id = try tree.commit("\(number)-\(round)")
                        let branch = "writer-\(number)-\(round)"
                        let result = try tree.attempt("push", "origin", "main:\(branch)")
                        done.add(1, ordering: .relaxed)
                        return result.succeeded ? "\(id)\trefs/heads/\(branch)" : nil
                    }
                }
            }
            for count in [3, 7, 11] {
                try wait(for: "\(count) pushes to be over", upTo: .seconds(120)) {
                    done.load(ordering: .relaxed) >= count
                }
                if count == 7, let site = site as? ApacheSite {
                    site.apache.restart()
                } else {
                    site.reload()
                }
                try wait(for: "the web server to serve again", upTo: .seconds(60)) {
                    (try? site.advertisement(repository).status) == 200
                }
            }
            let told = try writers.flatMap { try $0.value() }
            let served = try trees[0].git("ls-remote", site.anonymousURL(repository))
                .split(separator: "\n").map(String.init)
            #expect(!told.isEmpty)
            #expect(Set(told).isSubset(of: served))
            switch front {
            case .nginx, .cgi, .spawnFCGI, .systemd: #expect(told.count == 16)
            default: break
            }
            let copy = try WorkTree.clone(site.anonymousURL(repository), "-q", "--mirror")
            try copy.git("fsck", "--full", "--strict", "--no-dangling")
            try wait(for: "nothing to be left") { try site.leftovers().isEmpty }
        }
    }
}

/// Bytes that cannot be compressed.
func randomBytes(_ count: Int) throws -> [UInt8] {
    try Command("/usr/bin/head", ["-c", "\(count)", "/dev/urandom"]).run().checked().output
}
