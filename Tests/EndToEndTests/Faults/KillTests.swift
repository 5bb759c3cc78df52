import Glibc
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
            var setup = ServerProcess.Setup(try store.makeBucket())
            setup.state = state
            let first = try Site(setup)
            let (repository, tree) = try seeded(first)
            try first.instance.stop()

            for (point, after) in Self.points {
                setup.environment = ["GIT_S3_BACKEND_FAULT": "\(point)=kill"]
                let dying = try Site(setup)
                try tree.commit("at \(point)")
                try tree.git("tag", "-a", "-m", point, "at-\(point)")
                try tree.git("remote", "set-url", "origin", dying.url(repository))
                let result = try tree.attempt("push", "--follow-tags", "origin", "main")
                if after == .old { #expect(!result.succeeded, "\(point): \(result)") }
                #expect(try dying.instance.waitForEnd() == .signalled(9), "\(point)")

                setup.environment = [:]
                let next = try Site(setup)
                #expect(try next.instance.workspaces() == [], "\(point): not swept")
                if after == .old {
                    let copy = try WorkTree.clone(next.anonymousURL(repository), "-q", "--mirror")
                    #expect(try copy.git("rev-parse", "main") == tree.git("rev-parse", "main~1"))
                    #expect(try copy.git("tag", "-l", "at-\(point)") == "")
                    try copy.git("fsck", "--full", "--strict")
                    try tree.git("remote", "set-url", "origin", next.url(repository))
                    try tree.git("push", "-q", "--follow-tags", "origin", "main")
                }
                try expectServed(next, repository, equals: tree)
                try next.instance.stop()
                #expect(try ServerProcess.workspaces(in: state.path) == [])
            }
        }

        @Test(arguments: stores)
        func killedInAFetchLeavesNothingAfterTheNextStart(store: StoreUnderTest) throws {
            let state = try TemporaryDirectory()
            var setup = ServerProcess.Setup(try store.makeBucket())
            setup.state = state
            setup.environment = ["GIT_S3_BACKEND_FAULT": "fetch-hydrated=kill"]
            let dying = try Site(setup)
            let (repository, tree) = try seeded(dying)
            let (_, result) = try WorkTree.attemptClone(dying.anonymousURL(repository), [])
            #expect(!result.succeeded)
            #expect(try dying.instance.waitForEnd() == .signalled(9))
            #expect(try ServerProcess.workspaces(in: state.path) != [])

            setup.environment = [:]
            let next = try Site(setup)
            #expect(try next.instance.workspaces() == [])
            try expectServed(next, repository, equals: tree)
        }

        @Test func killedWhileGitRunsPublishesNothing() throws {
            let copy = try ProgramCopy()
            let mark = try TemporaryDirectory()
            try copy.replaceHook(
                by: """
                    : >'\(mark.path)/waiting'
                    while [ ! -e '\(mark.path)/go' ]; do sleep 0.02; done
                    exec '\(copy.hook).built'
                    """)
            let state = try TemporaryDirectory()
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.program = copy.program
            setup.state = state
            let dying = try Site(setup)
            try mark.file("go", "")
            let (repository, tree) = try seeded(dying)
            Files.removeTree(mark.path + "/go")
            Files.removeTree(mark.path + "/waiting")

            try tree.commit("never published")
            let push = Background { try tree.attempt("push", "origin", "main") }
            try wait(for: "the hook to run") { try Files.size(of: mark.path + "/waiting") != nil }
            dying.instance.signal(SIGKILL)
            #expect(try dying.instance.waitForEnd() == .signalled(9))
            #expect(try !push.value().succeeded)

            // The orphans notice that their bridge is gone, and the next process can sweep their
            // workspace.
            let next = try Site(setup)
            #expect(try next.instance.workspaces() == [])
            try mark.file("go", "")
            try wait(for: "git and its hook to end") {
                try processes(inside: state.path).isEmpty
            }
            try tree.git("reset", "-q", "--hard", "HEAD~1")
            try expectServed(next, repository, equals: tree)
        }

        @Test(arguments: [FaultProxy.StoredKind.pack, .manifest, .pointer])
        func killedWhileAWriteIsOnItsWay(object: FaultProxy.StoredKind) throws {
            let bucket = try StoreUnderTest.seaweed.makeBucket()
            let proxy = try bucket.makeProxy()
            var setup = ServerProcess.Setup(bucket)
            setup.proxy = proxy
            setup.state = try TemporaryDirectory()
            let dying = try Site(setup)
            let (repository, tree) = try seeded(dying)
            let old = try tree.git("rev-parse", "main")
            let gate = Gate()
            proxy.on("PUT", object, .hold(gate))
            let new = try tree.commit("on its way")
            let push = Background { try tree.attempt("push", "origin", "main") }
            try wait(for: "the write to be on its way") { proxy.pending == 0 }
            dying.instance.signal(SIGKILL)
            #expect(try dying.instance.waitForEnd() == .signalled(9))
            #expect(try !push.value().succeeded)
            gate.open()
            try wait(for: "the write to be made") {
                proxy.entries.last { $0.kind == FaultProxy.Kind("PUT", object) }?.status == 200
            }

            let next = try Site(setup)
            let published = try WorkTree.clone(next.anonymousURL(repository), "-q", "--mirror")
            let tip = try published.git("rev-parse", "main")
            // The held swap is applied on its own; nothing else can publish the push.
            #expect(tip == (object == .pointer ? new : old))
            try published.git("fsck", "--full", "--strict")
        }

        @Test func startBesideALiveProcessLeavesItsWorkspacesAlone() throws {
            let state = try TemporaryDirectory()
            let barrier = try TemporaryDirectory()
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
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
            #expect(try another.instance.workspaces().count == 1)
            try barrier.file("go", "")
            let result = try push.value()
            #expect(result.succeeded, "\(result)")
            try expectServed(another, repository, equals: tree)
        }
    }
}

/// The processes whose working directory is inside a directory, including a deleted one.
private func processes(inside directory: String) throws -> [String] {
    try Files.names(in: "/proc").filter { name in
        guard pid_t(name) != nil else { return false }
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/\(name)/cwd", &buffer, buffer.count)
        guard count > 0 else { return false }
        let path = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return path.hasPrefix(directory + "/")
    }
}
