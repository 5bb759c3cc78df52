import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct RaceTests {
        private static let options = [
            "--push-attempts", "1", "--max-git", "16", "--push-keepalive", "0",
        ]

        @Test(arguments: stores)
        func ofEightWritersOneWinsAndSevenGet409(store: StoreUnderTest) throws {
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
            let race = try Race(
                store, sites: 2, options: ["--push-attempts", "20", "--max-git", "16"])
            let outcomes = try race.run { "writer-\($0)" }
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

        @Test func aBranchThatMovedIsToldInGitsOwnReport() throws {
            let race = try Race(.file, sites: 1, options: ["--max-git", "16"])
            let outcomes = try race.run()
            try race.expectOneWinner(outcomes) {
                $0.errors.contains("[remote rejected]")
                    && $0.errors.contains("another push came first")
            }
        }

        @Test func onceTheAnswerHasBegunALostPushIsToldPerRef() throws {
            let race = try Race(
                .file, sites: 1, point: "push-received",
                options: ["--push-attempts", "1", "--max-git", "16", "--push-keepalive", "1"])
            let outcomes = try race.run(heldFor: .seconds(3))
            try race.expectOneWinner(outcomes) {
                $0.errors.contains("[remote rejected]") && !$0.errors.contains("409")
            }
        }

        @Test(arguments: stores)
        func writersWithoutABarrierLoseNothingThatTheyWereToldIsPublished(
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
            // And nothing else: who was told of a loss has lost.
            #expect(served.filter { $0.contains("writer-") }.count == told.count)
        }
    }
}

/// Eight clones of one repository, each one commit ahead in its own way, and a barrier that holds
/// their pushes once each has seen the same state.
private struct Race: Sendable {
    static let writers = 8

    let sites: [Site]
    let repository: String
    let trees: [WorkTree]
    let tips: [String]
    let barrier: TemporaryDirectory

    init(
        _ store: StoreUnderTest, sites count: Int, point: String = "push-hydrated",
        options: [String]
    ) throws {
        let barrier = try TemporaryDirectory()
        self.barrier = barrier
        let bucket = try store.makeBucket()
        sites = try (0..<count).map { _ in
            var setup = Responder.Setup(bucket)
            setup.options = options
            setup.environment = ["GIT_S3_BACKEND_FAULT": "\(point)=barrier:\(barrier.path)"]
            return try Site(setup)
        }
        // The first push is let through.
        try barrier.file("go", "")
        repository = try seeded(sites[0]).repository
        let sites = sites
        let repository = repository
        trees = try (0..<Self.writers).map { number in
            try WorkTree.clone(sites[number % count].url(repository), "-q")
        }
        tips = try trees.enumerated().map { try $1.commit("writer-\($0)") }
        for name in try Files.names(in: barrier.path) {
            Files.removeTree("\(barrier.path)/\(name)")
        }
    }

    /// Pushes all at once.
    ///
    /// - Parameter time: how long they are held when all are there.
    func run(
        heldFor time: Duration = .zero,
        to branch: @escaping @Sendable (Int) -> String = { _ in "main" }
    ) throws -> [CommandResult] {
        let pushes = trees.enumerated().map { number, tree in
            Background { try tree.attempt("push", "origin", "main:\(branch(number))") }
        }
        try wait(for: "eight pushes to be held", upTo: .seconds(60)) {
            try Files.names(in: barrier.path).count == Self.writers
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
            #expect(try site.responder.workspaces() == [], sourceLocation: sourceLocation)
        }

        let loser = trees[(winner + 1) % trees.count]
        try loser.git("pull", "-q", "--rebase", "origin", "main")
        try loser.git("push", "-q", "origin", "main")
        try expectServed(sites[0], repository, equals: loser, sourceLocation: sourceLocation)
    }
}
