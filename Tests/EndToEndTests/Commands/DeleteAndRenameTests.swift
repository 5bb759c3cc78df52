import Bytes
import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct DeleteAndRenameTests {
        /// The statuses that a client gets for a repository: advertisements, a fetch, a push.
        private func statuses(_ site: Site, _ repository: String) throws -> Set<Int> {
            let zero = String(repeating: "0", count: 40)
            return [
                try site.advertisement(repository).status,
                try site.advertisement(
                    repository, service: "git-receive-pack", headers: [Site.authorization]
                ).status,
                try site.fetch(repository, [zero]).status,
                try site.push(
                    to: repository,
                    PushBody(
                        [.init(old: nil, new: zero, "refs/heads/x")], capabilities: "report-status",
                        pack: PushBody.emptyPack)
                ).status,
            ]
        }

        /// A repository with every kind of tag, and a HEAD that is not the default.
        private func rich(_ site: Site) throws -> (repository: String, tree: WorkTree) {
            let repository = try site.create(nil, "--default-branch", "trunk")
            let tree = try WorkTree.make(remote: site.url(repository), branch: "trunk")
            try tree.commit("README", "first")
            try tree.git("tag", "-a", "-m", "one", "v1")
            try tree.git("tag", "-a", "-m", "two", "of-v1", "v1")
            try tree.git("tag", "light", "trunk^{tree}")
            try tree.git("update-ref", "refs/notes/x", "trunk")
            try tree.git("push", "-q", "origin", "refs/*:refs/*")
            return (repository, tree)
        }

        @Test(arguments: stores)
        func deletedIsNotFoundAndRestoredIsWhatItWas(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try rich(site)
            let last = try site.bucket.pointer(of: repository)
            #expect(
                try site.command("delete", [repository, "--yes"]).checked().text
                    == "Deleted '\(repository)'. Its last state was \(last); 'git-s3-backend "
                    + "restore \(repository)' brings it back.\n")
            #expect(try statuses(site, repository) == [404])
            let (_, clone) = try WorkTree.attemptClone(site.anonymousURL(repository), [])
            #expect(clone.errors.contains("not found"), "\(clone)")

            for command in [["delete", "--yes"], ["show"]] {
                let again = try site.command(command[0], command.dropFirst() + [repository])
                #expect(again.ending == .exited(1))
                #expect(
                    again.errors
                        == "git-s3-backend: '\(repository)' is deleted. Its last state was "
                        + "\(last); 'git-s3-backend restore \(repository)' brings it back.\n")
            }
            #expect(
                try site.command("restore", [repository]).checked().text
                    == "Restored '\(repository)' with its 5 refs.\n")
            try expectServed(site, repository, equals: tree)
            let again = try site.command("restore", [repository])
            #expect(again.ending == .exited(1))
            #expect(again.errors.contains("'\(repository)' already exists. There is nothing"))
        }

        @Test(arguments: stores)
        func renamedIsWholeUnderItsNewNameAndNotFoundUnderTheOld(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (old, tree) = try rich(site)
            let new = "other/n-\(Hex.random(bytes: 6))"
            #expect(
                try site.command("rename", [old, new]).checked().text
                    == "Renamed '\(old)' to '\(new)'.\n")
            #expect(try statuses(site, old) == [404])
            try expectServed(site, new, equals: tree)
            for version in 0...2 {
                let listed = try tree.git(
                    "-c", "protocol.version=\(version)", "ls-remote", "--symref",
                    site.anonymousURL(new), "HEAD")
                #expect(listed.hasPrefix("ref: refs/heads/trunk\tHEAD\n"))
            }
            try tree.commit("after the renaming")
            try tree.git("push", "-q", site.url(new), "trunk")
            try expectServed(site, new, equals: tree)

            // The old name is available again, and nothing of the renamed repository is left there.
            try site.command("create", [old]).checked()
            #expect(try tree.git("ls-remote", site.anonymousURL(old)) == "")
            let taken = try site.command("rename", [old, new])
            #expect(taken.ending == .exited(1))
            #expect(taken.errors == "git-s3-backend: '\(new)' already exists.\n")
            #expect(try site.advertisement(old).status == 200)
        }

        @Test func pushInFlightIsRefusedAndChangesNothing() throws {
            let held = try Held(at: "push-received")
            for commands in [
                [["delete", "--yes", "NAME"]], [["rename", "NAME", "NAME-2"]],
                [["delete", "--yes", "NAME"], ["create", "NAME"]],
                [["delete", "--yes", "NAME"], ["create", "NAME"], ["delete", "--yes", "NAME"]],
                [["rename", "NAME", "NAME-2"], ["rename", "NAME-2", "NAME"]],
                [["delete", "--yes", "NAME"], ["restore", "NAME"]],
            ] {
                try held.release()
                let (repository, tree) = try seeded(held.site)
                try held.shut()
                try expectRefused(held, repository, tree, after: commands)
            }
        }

        private func expectRefused(
            _ held: Held, _ repository: String, _ tree: WorkTree, after commands: [[String]]
        ) throws {
            let site = held.site
            try tree.commit("in flight")
            let push = Background { try tree.attempt("push", "origin", "main:in-flight") }
            try held.waitUntilHeld()
            for command in commands {
                let arguments = command.map { $0.replacing("NAME", with: repository) }
                try site.command(arguments[0], Array(arguments.dropFirst())).checked()
            }
            let pointers = try site.bucket.listing().filter { $0.contains("/pointer ") }
            try held.release()
            let result = try push.value()
            #expect(!result.succeeded, "\(commands): \(result)")
            #expect(result.errors.contains("[remote rejected] main -> in-flight"), "\(result)")
            #expect(try site.bucket.listing().filter { $0.contains("/pointer ") } == pointers)
            for name in [repository, repository + "-2"] {
                let served = try tree.attempt("ls-remote", site.anonymousURL(name))
                #expect(!served.text.contains("in-flight"), "\(commands): \(served)")
            }
            #expect(try site.instance.workspaces() == [])
        }

        @Test func fetchInFlightIsServedToItsEnd() throws {
            let held = try Held(at: "fetch-hydrated")
            let tip = try held.tree.git("rev-parse", "HEAD")
            let fetch = Background { try held.site.fetch(held.repository, [tip]) }
            try held.waitUntilHeld()
            try held.site.command("delete", ["--yes", held.repository]).checked()
            try held.release()
            let answer = try fetch.value()
            #expect(answer.status == 200 && answer.text.contains("PACK"))
        }

        @Test(arguments: ["resume", "restore"])
        func renamingThatIsKilledHalfwayCanBeFinishedOrUndone(way: String) throws {
            let site = try Site.shared(.file)
            let (old, tree) = try rich(site)
            let new = "other/n-\(Hex.random(bytes: 6))"
            let state = try TemporaryDirectory()
            let killed = try CommandPlace.run(
                ["rename", old, new, "--store", site.setup.storeURL, "--state-dir", state.path],
                ["GIT_S3_BACKEND_FAULT": "rename-tombstoned=kill"])
            #expect(killed.ending == .signalled(SIGKILL))
            #expect(try statuses(site, old) == [404])
            #expect(try statuses(site, new) == [404])
            let again = try site.command("rename", [old, new])
            #expect(again.ending == .exited(1))
            #expect(
                again.errors
                    == "git-s3-backend: '\(old)' was deleted or renamed. If a rename was "
                    + "interrupted, 'git-s3-backend rename --resume \(old) \(new)' finishes it; "
                    + "'git-s3-backend restore \(old)' brings it back, or reports its new name.\n")
            if way == "resume" {
                try site.command("rename", ["--resume", old, new]).checked()
                try expectServed(site, new, equals: tree)
                #expect(try statuses(site, old) == [404])
            } else {
                try site.command("restore", [old]).checked()
                try expectServed(site, old, equals: tree)
                let resumed = try site.command("rename", ["--resume", old, new])
                #expect(resumed.ending == .exited(1))
                #expect(resumed.errors.contains("Remove --resume."))
            }
        }

        @Test func tenDeletionsAndTenRenamingsAtOnceHaveOneEffect() throws {
            let site = try Site.shared(.file)
            let (repository, tree) = try rich(site)
            let names = (0..<10).map { "other/n\($0)-\(Hex.random(bytes: 6))" }
            let results = try concurrently(20) { number in
                number < 10
                    ? try site.command("delete", ["--yes", repository])
                    : try site.command("rename", [repository, names[number - 10]])
            }
            // Two deletions of one state are the same write, so both may report success.
            #expect(results.contains { $0.succeeded })
            #expect(try statuses(site, repository) == [404])
            let live = try names.filter { try site.advertisement($0).status == 200 }
            #expect(results[10...].count { $0.succeeded } == live.count)
            for name in live { try expectServed(site, name, equals: tree) }
        }

        // MARK: Confirmation

        @Test func deletionWithoutATerminalTakesYes() throws {
            let place = try CommandPlace()
            try place.run(["create", "a/b"]).checked()
            let result = try place.run(["delete", "a/b"])
            #expect(result.ending == .exited(64))
            #expect(
                result.errors.hasPrefix(
                    "Error: No terminal to ask for confirmation. Add --yes to skip the "
                        + "question.\n"))
            try place.run(["show", "a/b"]).checked()
        }

        @Test(arguments: ["a/b\n", "A/B\n", "yes\n", "\n", "\u{4}"])
        func onATerminalTheNameIsAskedFor(answer: String) throws {
            let place = try CommandPlace()
            try place.run(["create", "a/b"]).checked()
            let terminal = try Terminal()
            try terminal.type(answer)
            let result = try Command(
                Programs.server(), ["delete", "a/b"] + place.options,
                environment: ["PATH": "/usr/bin:/bin"], directory: "/",
                input: .descriptor(terminal.raw)
            ).run()
            let (ending, said) = (result.ending, result.errors)
            #expect(
                said.hasPrefix(
                    "Delete 'a/b' with its 0 refs from '\(place.store)'?\nType its name to "
                        + "confirm: "))
            let shown = try place.run(["show", "a/b"])
            if answer == "a/b\n" {
                #expect(ending == .exited(0), "\(said)")
                #expect(shown.errors.contains("'a/b' is deleted."))
            } else {
                #expect(ending == .exited(1), "\(said)")
                #expect(said.contains("The name does not match; nothing was deleted."))
                #expect(shown.succeeded)
            }
        }
    }
}

/// A terminal, and the person who uses it. pty(7).
private final class Terminal: Sendable {
    private let person: OwnedDescriptor
    private let program: OwnedDescriptor
    /// The end that the program uses.
    var raw: Int32 { program.raw }

    init() throws {
        var (person, program) = (Int32(-1), Int32(-1))
        try check("openpty") { openpty(&person, &program, nil, nil, nil) }
        self.person = OwnedDescriptor(taking: person)
        self.program = OwnedDescriptor(taking: program)
    }

    func type(_ text: String) throws { try writeAll(person.raw, Array(text.utf8)) }
}
