import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct KillTests {
        private enum After: Sendable { case old, new }

        private static let points: [(String, After)] = [
            ("push-started", .old), ("push-hydrated", .old), ("push-received", .old),
            ("push-stored", .old), ("push-swapped", .new), ("push-answered", .new),
        ]

        @Test(arguments: stores)
        func killedAtAnyStepLeavesTheOldStateOrTheCompleteNewOne(store: StoreUnderTest) throws {
            let state = try TemporaryDirectory()
            var setup = Responder.Setup(try store.makeBucket())
            setup.state = state
            let first = try Site(setup)
            let (repository, tree) = try seeded(first)
            try first.responder.stop()

            for (point, after) in Self.points {
                setup.environment = ["GIT_S3_BACKEND_FAULT": "\(point)=kill"]
                let dying = try Site(setup)
                try tree.commit("at \(point)")
                try tree.git("tag", "-a", "-m", point, "at-\(point)")
                try tree.git("remote", "set-url", "origin", dying.url(repository))
                let result = try tree.attempt("push", "--follow-tags", "origin", "main")
                if after == .old { #expect(!result.succeeded, "\(point): \(result)") }
                #expect(try dying.responder.waitForEnd() == .signalled(9), "\(point)")

                setup.environment = [:]
                let next = try Site(setup)
                #expect(try next.responder.workspaces() == [], "\(point): not swept")
                if after == .old {
                    let copy = try WorkTree.clone(next.anonymousURL(repository), "-q", "--mirror")
                    #expect(try copy.git("rev-parse", "main") == tree.git("rev-parse", "main~1"))
                    #expect(try copy.git("tag", "-l", "at-\(point)") == "")
                    try copy.git("fsck", "--full", "--strict")
                    try tree.git("remote", "set-url", "origin", next.url(repository))
                    try tree.git("push", "-q", "--follow-tags", "origin", "main")
                }
                try expectServed(next, repository, equals: tree)
                try next.responder.stop()
                #expect(try Responder.workspaces(in: state.path) == [])
            }
        }

        @Test(arguments: stores)
        func killedInAFetchLeavesNothingAfterTheNextStart(store: StoreUnderTest) throws {
            let state = try TemporaryDirectory()
            var setup = Responder.Setup(try store.makeBucket())
            setup.state = state
            setup.environment = ["GIT_S3_BACKEND_FAULT": "fetch-hydrated=kill"]
            let dying = try Site(setup)
            let (repository, tree) = try seeded(dying)
            let (_, result) = try WorkTree.attemptClone(dying.anonymousURL(repository), [])
            #expect(!result.succeeded)
            #expect(try dying.responder.waitForEnd() == .signalled(9))
            #expect(try Responder.workspaces(in: state.path) != [])

            setup.environment = [:]
            let next = try Site(setup)
            #expect(try next.responder.workspaces() == [])
            try expectServed(next, repository, equals: tree)
        }

        @Test func startBesideALiveProcessLeavesItsWorkspacesAlone() throws {
            let state = try TemporaryDirectory()
            let barrier = try TemporaryDirectory()
            var setup = Responder.Setup(try StoreUnderTest.file.makeBucket())
            setup.state = state
            let plain = try Site(setup)
            let (repository, tree) = try seeded(plain)
            setup.environment = ["GIT_S3_BACKEND_FAULT": "push-hydrated=barrier:\(barrier.path)"]
            let held = try Site(setup)
            try tree.commit("held")
            try tree.git("remote", "set-url", "origin", held.url(repository))
            let push = Background { try tree.attempt("push", "origin", "main") }
            try wait(for: "the push to be hydrated") {
                try !Files.names(in: barrier.path).isEmpty
            }
            let another = try Site(setup)
            #expect(try another.responder.workspaces().count == 1)
            try barrier.file("go", "")
            let result = try push.value()
            #expect(result.succeeded, "\(result)")
            try expectServed(another, repository, equals: tree)
        }
    }
}
