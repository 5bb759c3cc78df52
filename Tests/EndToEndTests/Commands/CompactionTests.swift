import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct CompactionTests {
        /// Pushes until a repository, which has one pack, has this many packs.
        private func push(_ tree: WorkTree, untilPacks count: Int) throws {
            for number in 2...count {
                try tree.commit("file-\(number)")
                try tree.git("push", "-q", "origin", "main")
            }
        }

        @Test(arguments: stores)
        func pushesPastTheThresholdAreFoldedWhileOldPacksStay(store: StoreUnderTest) throws {
            let site = try Site(store, options: ["--compact-at", "6"])
            let (repository, tree) = try seeded(site)
            try push(tree, untilPacks: 6)
            let before = try site.bucket.packs(of: repository)
            #expect(before.count == 6)
            try tree.commit("one more")
            try tree.git("push", "-q", "origin", "main")
            try wait(for: "the packs to be folded") {
                try site.bucket.packs(of: repository).count == 1
            }
            for pack in before { #expect(try site.bucket.read(.pack(pack)) != nil) }
            try expectServed(site, repository, equals: tree)
            try wait(for: "it to be logged") { site.instance.log.contains("packs.after=1") }
            #expect(site.instance.log.contains("packs.before=7"))

            // Fetch the compacted state into a clone, push to it, and compact it again.
            let copy = try WorkTree.clone(site.url(repository), "-q")
            try push(tree, untilPacks: 4)
            try copy.git("pull", "-q")
            let tip = try copy.commit("from the copy")
            try copy.git("push", "-q", "origin", "main")
            try tree.git("pull", "-q", "origin", "main")
            #expect(try tree.git("rev-parse", "main") == tip)
            try site.instance.stop()
            #expect(try site.instance.workspaces() == [])
        }

        @Test func zeroTurnsItOffAndWhatCameOfItIsFoundLater() throws {
            let bucket = try StoreUnderTest.file.makeBucket()
            var setup = ServerProcess.Setup(bucket)
            setup.environment = ["GIT_S3_BACKEND_COMPACT_AT": "2"]
            setup.options = ["--compact-at", "0"]
            let off = try Site(setup)
            let (repository, tree) = try seeded(off)
            try push(tree, untilPacks: 6)
            try off.instance.stop()
            #expect(try bucket.packs(of: repository).count == 6)
            #expect(!off.instance.log.contains("compaction started"))

            setup.options = []
            let on = try Site(setup)
            try tree.git("remote", "set-url", "origin", on.url(repository))
            try push(tree, untilPacks: 2)
            try wait(for: "the packs to be folded") { try bucket.packs(of: repository).count == 1 }
            try expectServed(on, repository, equals: tree)
        }

        @Test func fetchThatBeganBeforeIsFinished() throws {
            let barrier = try TemporaryDirectory()
            let site = try Site(
                .file,
                environment: ["GIT_S3_BACKEND_FAULT": "fetch-hydrated=barrier:\(barrier.path)"])
            let (repository, tree) = try seeded(site)
            try push(tree, untilPacks: 4)
            let clone = Background {
                try WorkTree.clone(site.anonymousURL(repository), "-q", "--mirror")
            }
            try wait(for: "the fetch to be hydrated") {
                try !Files.names(in: barrier.path).isEmpty
            }
            try site.command("compact", [repository]).checked()
            #expect(try site.bucket.packs(of: repository).count == 1)
            try barrier.file("go", "")
            let copy = try clone.value()
            try copy.git("fsck", "--full", "--strict")
            #expect(try copy.refs() == tree.refs())
        }

        @Test func killedAtAnyStepLeavesAStateThatIsWhole() throws {
            let state = try TemporaryDirectory()
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.state = state
            setup.options = ["--compact-at", "3"]
            for (point, packs) in [
                ("compaction-folded", 4), ("compaction-stored", 4), ("compaction-swapped", 1),
            ] {
                setup.environment = ["GIT_S3_BACKEND_FAULT": "\(point)=kill"]
                let dying = try Site(setup)
                let (repository, tree) = try seeded(dying)
                try push(tree, untilPacks: 3)
                // The push is published before compaction starts, whether or not the client still
                // gets the answer.
                try tree.commit("the last one")
                _ = try tree.attempt("push", "-q", "origin", "main")
                #expect(try dying.instance.waitForEnd() == .signalled(SIGKILL), "\(point)")
                #expect(try dying.bucket.packs(of: repository).count == packs, "\(point)")

                setup.environment = [:]
                let next = try Site(setup)
                #expect(try next.instance.workspaces() == [], "\(point): not swept")
                try expectServed(next, repository, equals: tree)
                try next.command("compact", [repository]).checked()
                #expect(try next.bucket.packs(of: repository).count == 1)
                try expectServed(next, repository, equals: tree)
                try next.instance.stop()
            }
        }

        @Test func stopDuringAPushPublishesAndLeavesNothing() throws {
            let state = try TemporaryDirectory()
            let barrier = try TemporaryDirectory()
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.state = state
            setup.options = ["--compact-at", "3"]
            setup.environment = [
                "GIT_S3_BACKEND_FAULT": "compaction-folded=barrier:\(barrier.path)"
            ]
            let site = try Site(setup)
            let (repository, tree) = try seeded(site)
            try push(tree, untilPacks: 4)
            try wait(for: "the packs to be folded") { try !Files.names(in: barrier.path).isEmpty }
            try site.instance.stop()
            #expect(try site.bucket.packs(of: repository).count == 4)
            #expect(try ServerProcess.workspaces(in: state.path) == [])
            setup.environment = [:]
            let next = try Site(setup)
            try expectServed(next, repository, equals: tree)
        }

        @Test func stoppedCommandPublishesAndLeavesNothing() throws {
            let site = try Site(.file)
            let (repository, tree) = try seeded(site)
            try push(tree, untilPacks: 3)
            let scratch = try TemporaryDirectory()
            let logs = try TemporaryDirectory()
            let environment = ServerProcess.environment(site.setup).merging(
                ["GIT_S3_BACKEND_FAULT": "compaction-folded=barrier:\(scratch.path)"]
            ) { $1 }
            for signal in [SIGTERM, SIGINT] {
                let command = try Service(
                    try Programs.server(),
                    [
                        "compact", repository, "--store", site.setup.storeURL, "--state-dir",
                        site.instance.stateDirectory,
                    ], environment: environment, log: logs.path + "/log")
                try wait(for: "the packs to be folded") {
                    try !Files.names(in: scratch.path).isEmpty
                }
                command.signal(signal)
                #expect(try command.waitForEnd() == .exited(128 + signal))
                for name in try Files.names(in: scratch.path) {
                    Files.removeTree("\(scratch.path)/\(name)")
                }
                #expect(try site.instance.workspaces() == [])
                #expect(try site.bucket.packs(of: repository).count == 3)
            }
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores)
        func nothingIsLostWhileManyPush(store: StoreUnderTest) throws {
            let site = try Site(store, options: ["--compact-at", "4", "--push-attempts", "20"])
            let (repository, _) = try seeded(site)
            let writers = 8
            let trees = try (0..<writers).map { _ in
                try WorkTree.clone(site.url(repository), "-q")
            }
            let told = try concurrently(writers) { number in
                try (0..<3).compactMap { round in
                    let branch = "writer-\(number)-\(round)"
                    let id = try trees[number].commit("\(number)-\(round)")
                    let result = try trees[number].attempt("push", "origin", "main:\(branch)")
                    return result.succeeded ? "\(id)\trefs/heads/\(branch)" : nil
                }
            }.flatMap { $0 }
            #expect(!told.isEmpty)
            let served = try trees[0].git("ls-remote", site.anonymousURL(repository))
                .split(separator: "\n").map(String.init)
            #expect(Set(told).isSubset(of: served))
            #expect(served.filter { $0.contains("writer-") }.count == told.count)
            try site.instance.stop()

            let setup = site.setup
            let next = try Site(setup)
            try next.command("compact", ["--full", repository]).checked()
            #expect(try next.bucket.packs(of: repository).count == 1)
            let copy = try WorkTree.clone(next.anonymousURL(repository), "-q", "--mirror")
            try copy.git("fsck", "--full", "--strict", "--no-dangling")
        }

        @Test func commandCompactsOneOrAllAndSaysWhatItDid() throws {
            let site = try Site(.file)
            let (first, tree) = try seeded(site)
            let (second, other) = try seeded(site)
            try push(tree, untilPacks: 3)
            try push(other, untilPacks: 2)
            let empty = try site.create()

            let plan = try site.command("compact", ["--dry-run", "--all"]).checked().text
            #expect(plan.contains("Would merge 3 of the 3 packs of '\(first)'.\n"))
            #expect(plan.contains("Would merge 2 of the 2 packs of '\(second)'.\n"))
            #expect(plan.contains("Nothing to compact in '\(empty)': it has 0 packs.\n"))
            #expect(try site.bucket.packs(of: first).count == 3)

            let one = try site.command("compact", [first]).checked().text
            #expect(
                one.hasPrefix(
                    "Compacted '\(first)': 3 packs before, 1 after; the new one has 9 objects, "),
                "\(one)")
            #expect(try site.bucket.packs(of: first).count == 1)
            #expect(try site.bucket.packs(of: second).count == 2)

            let rest = try site.command("compact", ["--all"]).checked().text
            #expect(rest.contains("Nothing to compact in '\(first)': it has 1 pack.\n"))
            #expect(rest.contains("Compacted '\(second)': 2 packs before, 1 after; "))
            try expectServed(site, first, equals: tree)
            try expectServed(site, second, equals: other)
            #expect(try site.instance.workspaces() == [])

            let none = try site.command("compact", ["no/body"])
            #expect(none.ending == .exited(1))
            #expect(none.errors == "git-s3-backend: Repository 'no/body' does not exist.\n")
            for arguments in [[], [first, "--all"]] {
                let wrong = try site.command("compact", arguments)
                #expect(wrong.ending == .exited(64))
                #expect(
                    wrong.errors.hasPrefix(
                        "Error: Specify one repository, OWNER/REPO, or --all.\n"))
            }
        }

        @Test func importContinuesAfterADamagedRepository() throws {
            let site = try Site(.file)
            let (first, tree) = try seeded(site)
            let (second, other) = try seeded(site)
            try push(tree, untilPacks: 2)
            try push(other, untilPacks: 2)
            // Both repositories start with the same push, and so share its pack.
            let own = Set(try site.bucket.packs(of: first))
                .subtracting(try site.bucket.packs(of: second))
            let pack = try #require(own.first)
            var damaged = try #require(try site.bucket.read(.pack(pack)))
            damaged[damaged.count - 1] ^= 1
            try site.bucket.overwrite(.pack(pack), with: damaged)
            let result = try site.command("compact", ["--all"])
            #expect(result.ending == .exited(1))
            #expect(result.errors.contains("'packs/\(pack)' is corrupt: its SHA-256 is "))
            #expect(result.errors.hasSuffix("git-s3-backend: 1 repository was not compacted.\n"))
            #expect(try site.bucket.packs(of: first).count == 2)
            #expect(try site.bucket.packs(of: second).count == 1)
        }
    }
}
