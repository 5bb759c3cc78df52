import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite(.tags(.race)) struct RaceTests {
        private static let options = [
            "--push-attempts", "1", "--max-git", "16", "--push-keepalive", "0",
        ]

        @Test(arguments: stores)
        func oneOfEightWritersWinsAndSevenGet409(store: StoreUnderTest) throws {
            let race = try Race(store, sites: 1, options: Self.options)
            let outcomes = try race.run()
            try race.expectOneWinner(outcomes) { $0.errors.contains("409") }
        }

        @Test(arguments: stores)
        func theSameThroughTwoRespondersWithStateOfTheirOwn(store: StoreUnderTest) throws {
            let race = try Race(store, sites: 2, options: Self.options)
            let outcomes = try race.run()
            try race.expectOneWinner(outcomes) { $0.errors.contains("409") }
        }

        @Test(arguments: stores)
        func writersToDifferentBranchesAllSucceedThroughTwoResponders(
            store: StoreUnderTest
        ) throws {
            let race = try Race(store, sites: 2, options: ["--max-git", "16"])
            let outcomes = try race.run { ["main:writer-\($0)"] }
            for outcome in outcomes { #expect(outcome.succeeded, "\(outcome)") }
            for (number, tip) in race.tips.enumerated() {
                let served = try race.trees[0].git(
                    "ls-remote", race.sites[number % 2].anonymousURL(race.repository),
                    "refs/heads/writer-\(number)")
                #expect(served == "\(tip)\trefs/heads/writer-\(number)")
            }
            let copy = try WorkTree.clone(
                race.sites[0].anonymousURL(race.repository), "-q", "--mirror")
            try copy.git("fsck", "--full", "--strict", "--no-dangling")
        }

        @Test func twentyWritersToDifferentBranchesAllSucceedThroughOne() throws {
            let race = try Race(
                .file, sites: 1, point: "push-stored", writers: 20, options: ["--max-git", "20"])
            let outcomes = try race.run { ["main:writer-\($0)"] }
            for outcome in outcomes { #expect(outcome.succeeded, "\(outcome)") }
            let served = try race.trees[0].git(
                "ls-remote", race.sites[0].anonymousURL(race.repository))
            for (number, tip) in race.tips.enumerated() {
                #expect(served.contains("\(tip)\trefs/heads/writer-\(number)"))
            }
        }

        @Test(arguments: stores)
        func pushThatLosesOneRefOfTwoPublishesTheOther(store: StoreUnderTest) throws {
            let race = try Race(store, sites: 2, options: ["--max-git", "16"])
            let outcomes = try race.run { ["main", "main:writer-\($0)"] }
            #expect(outcomes.count { $0.succeeded } == 1)
            let winner = try #require(outcomes.firstIndex { $0.succeeded })
            let served = try race.trees[0].git(
                "ls-remote", race.sites[0].anonymousURL(race.repository))
            #expect(served.contains("\(race.tips[winner])\trefs/heads/main"))
            for (number, outcome) in outcomes.enumerated() {
                #expect(served.contains("\(race.tips[number])\trefs/heads/writer-\(number)"))
                if outcome.succeeded { continue }
                #expect(outcome.errors.contains("! [remote rejected] main -> main"), "\(outcome)")
                #expect(outcome.errors.contains("* [new branch]      main -> writer-\(number)"))
                #expect(!outcome.errors.contains("remote rejected] main -> writer"))
            }
        }

        @Test(arguments: stores)
        func annotatedTagsPushedAtOnceAllPeelAsTheyShould(store: StoreUnderTest) throws {
            let race = try Race(store, sites: 1, options: ["--max-git", "16"])
            for (number, tree) in race.trees.enumerated() {
                try tree.git("tag", "-a", "-m", "one", "tag-\(number)")
                try tree.git("tag", "-a", "-m", "two", "of-tag-\(number)", "tag-\(number)")
            }
            let outcomes = try race.run { ["refs/tags/tag-\($0)", "refs/tags/of-tag-\($0)"] }
            for outcome in outcomes { #expect(outcome.succeeded, "\(outcome)") }
            let all = try WorkTree.clone(race.sites[0].url(race.repository), "-q", "--mirror")
            for (number, tip) in race.tips.enumerated() {
                #expect(try all.git("rev-parse", "of-tag-\(number)^{}") == tip)
            }
            try expectServed(race.sites[0], race.repository, equals: all)
        }

        @Test(arguments: stores)
        func atomicPushThatLosesOneRefLosesAll(store: StoreUnderTest) throws {
            let race = try Race(store, sites: 1, options: ["--max-git", "16"])
            let outcomes = try race.run { ["--atomic", "main", "main:writer-\($0)"] }
            let winners = outcomes.indices.filter { outcomes[$0].succeeded }
            let winner = try #require(winners.first)
            #expect(winners.count == 1)
            try race.trees[winner].git("branch", "writer-\(winner)")
            try expectServed(race.sites[0], race.repository, equals: race.trees[winner])
        }

        @Test(arguments: stores)
        func deletionOfAMovedBranchIsRefused(store: StoreUnderTest) throws {
            let race = try Race(store, sites: 1, options: ["--max-git", "16"])
            // All clients see the branch in its first state; seven of them want to move it.
            let first = try race.trees[0].git("rev-parse", "main~1")
            try race.barrier.file("go", "")
            try race.trees[0].git("push", "-q", "origin", "main~1:refs/heads/contested")
            try race.reset()
            let outcomes = try race.run {
                $0 == 0 ? [":contested"] : ["main:contested"]
            }
            #expect(outcomes.count { $0.succeeded } == 1)
            let winner = try #require(outcomes.firstIndex { $0.succeeded })
            let served = try race.trees[0].git(
                "ls-remote", race.sites[0].anonymousURL(race.repository))
            let expected = winner == 0 ? nil : race.tips[winner]
            let line = served.split(separator: "\n").first { $0.hasSuffix("/contested") }
            #expect(line?.prefix(40).description == expected)
            #expect(served.contains("\(first)\trefs/heads/main"))
        }

        @Test func movedBranchIsReportedInGitsWords() throws {
            let race = try Race(.file, sites: 1, options: ["--max-git", "16"])
            let outcomes = try race.run()
            try race.expectOneWinner(outcomes) {
                $0.errors.contains("[remote rejected]")
                    && $0.errors.contains("another push came first")
            }
        }

        @Test func lostPushIsReportedForEachRefAfterKeepAlives() throws {
            let race = try Race(
                .file, sites: 1, point: "push-received",
                options: ["--push-attempts", "1", "--max-git", "16", "--push-keepalive", "1"])
            let outcomes = try race.run(heldFor: .seconds(3))
            try race.expectOneWinner(outcomes) {
                $0.errors.contains("[remote rejected]") && !$0.errors.contains("409")
            }
        }

        @Test(arguments: stores)
        func freeWritersLoseNoReportedPush(
            store: StoreUnderTest
        ) throws {
            let site = try Site.shared(store)
            let (repository, _) = try seeded(site)
            let trees = try (0..<6).map { _ in try WorkTree.clone(site.url(repository), "-q") }
            let results = try concurrently(trees.count) { number in
                try (0..<4).compactMap { round in
                    let branch = "writer-\(number)-\(round)"
                    let id = try trees[number].commit("\(number)-\(round)")
                    let result = try trees[number].attempt("push", "origin", "main:\(branch)")
                    return result.succeeded ? "\(id)\trefs/heads/\(branch)" : nil
                }
            }
            let served = try trees[0].git("ls-remote", site.anonymousURL(repository))
                .split(separator: "\n").map(String.init)
            let told = results.flatMap { $0 }
            #expect(!told.isEmpty)
            #expect(Set(told).isSubset(of: served))
            // And nothing else: a push that was reported as lost was not published.
            #expect(served.filter { $0.contains("writer-") }.count == told.count)
        }
    }
}

/// Clones of one repository, each with a commit of its own, and a barrier that holds their pushes
/// until each has read the same state.
private struct Race: Sendable {
    let writers: Int
    let sites: [Site]
    let repository: String
    let trees: [WorkTree]
    let tips: [String]
    let barrier: TemporaryDirectory

    init(
        _ store: StoreUnderTest, sites count: Int, point: String = "push-hydrated",
        writers: Int = 8, options: [String]
    ) throws {
        self.writers = writers
        let barrier = try TemporaryDirectory()
        self.barrier = barrier
        let bucket = try store.makeBucket()
        sites = try (0..<count).map { _ in
            var setup = ServerProcess.Setup(bucket)
            setup.options = options
            setup.environment = ["GIT_S3_BACKEND_FAULT": "\(point)=barrier:\(barrier.path)"]
            return try Site(setup)
        }
        // The first push is not held.
        try barrier.file("go", "")
        repository = try seeded(sites[0]).repository
        let sites = sites
        let repository = repository
        trees = try (0..<writers).map { number in
            try WorkTree.clone(sites[number % count].url(repository), "-q")
        }
        tips = try trees.enumerated().map { try $1.commit("writer-\($0)") }
        try reset()
    }

    /// Closes the barrier again.
    func reset() throws {
        for name in try Files.names(in: barrier.path) {
            Files.removeTree("\(barrier.path)/\(name)")
        }
    }

    /// Runs all pushes at once.
    ///
    /// - Parameters:
    ///   - time: how long the pushes are held after all have arrived.
    ///   - refs: the options and refspecs of each push.
    func run(
        heldFor time: Duration = .zero,
        pushing refs: @escaping @Sendable (Int) -> [String] = { _ in ["main"] }
    ) throws -> [CommandResult] {
        let pushes = trees.enumerated().map { number, tree in
            Background {
                try tree.client.run(["push", "origin"] + refs(number), in: tree.path)
            }
        }
        try wait(for: "all pushes to be held", upTo: .seconds(60)) {
            try Files.names(in: barrier.path).count == writers
        }
        let end = ContinuousClock.now + time
        try wait(for: "the time to pass", upTo: time + .seconds(5)) { ContinuousClock.now >= end }
        try barrier.file("go", "")
        return try pushes.map { try $0.value() }
    }

    func expectOneWinner(
        _ outcomes: [CommandResult], sourceLocation: SourceLocation = #_sourceLocation,
        isLoss: (CommandResult) -> Bool
    ) throws {
        let winners = outcomes.indices.filter { outcomes[$0].succeeded }
        let winner = try #require(winners.first, sourceLocation: sourceLocation)
        #expect(winners.count == 1, sourceLocation: sourceLocation)
        for outcome in outcomes where !outcome.succeeded {
            #expect(isLoss(outcome), "\(outcome)", sourceLocation: sourceLocation)
        }
        for site in sites {
            try expectServed(
                site, repository, equals: trees[winner], sourceLocation: sourceLocation)
            #expect(try site.instance.workspaces() == [], sourceLocation: sourceLocation)
        }

        let loser = trees[(winner + 1) % trees.count]
        try loser.git("pull", "-q", "--rebase", "origin", "main")
        try loser.git("push", "-q", "origin", "main")
        try expectServed(sites[0], repository, equals: loser, sourceLocation: sourceLocation)
    }
}
