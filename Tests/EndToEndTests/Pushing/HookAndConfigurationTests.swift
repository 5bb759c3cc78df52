import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct HookAndConfigurationTests {
        /// Seeds a repository, breaks the hook, and expects that a push is refused and changes
        /// nothing.
        private func expectRefused(
            _ store: StoreUnderTest, sourceLocation: SourceLocation = #_sourceLocation,
            breaking: (ProgramCopy) throws -> Void
        ) throws {
            let copy = try ProgramCopy()
            var setup = ServerProcess.Setup(try store.makeBucket())
            setup.program = copy.program
            let site = try Site(setup)
            let (repository, tree) = try seeded(site)
            let pointer = try site.bucket.pointer(of: repository)
            try breaking(copy)
            try tree.commit("not to be let in")
            let result = try tree.attempt("push", "origin", "main")
            #expect(!result.succeeded, "\(result)", sourceLocation: sourceLocation)
            #expect(
                try site.bucket.pointer(of: repository) == pointer, sourceLocation: sourceLocation)
            try tree.git("reset", "-q", "--hard", "HEAD~1")
            try expectServed(site, repository, equals: tree, sourceLocation: sourceLocation)
            #expect(try site.instance.workspaces() == [], sourceLocation: sourceLocation)
        }

        @Test(arguments: stores)
        func hookWithoutExecuteBitRefuses(store: StoreUnderTest) throws {
            try expectRefused(store) { try $0.allowHook(0o644) }
        }

        @Test func goneHookRefuses() throws {
            try expectRefused(.file) { unlink($0.hook) }
        }

        @Test func hookThatAllowsWithoutAskingRefuses() throws {
            try expectRefused(.file) { try $0.replaceHook(by: "cat >/dev/null; exit 0") }
        }

        @Test(arguments: stores)
        func hookThatIsKilledRefuses(store: StoreUnderTest) throws {
            try expectRefused(store) { try $0.replaceHook(by: "kill -KILL $$") }
        }

        @Test func hookThatKillsGitRefuses() throws {
            try expectRefused(.file) { try $0.replaceHook(by: "kill -KILL $PPID; exit 0") }
        }

        @Test func hookThatClosesTheBridgeRefuses() throws {
            try expectRefused(.file) { try $0.replaceHook(by: "cat >/dev/null; exec 3>&-; exit 0") }
        }

        @Test func hookThatTalksNonsenseToTheBridgeRefuses() throws {
            try expectRefused(.file) {
                try $0.replaceHook(by: "cat >/dev/null; printf 'A\\0\\0\\0\\0' >&3; exit 0")
            }
        }

        @Test func hookThatAsksAboutOtherUpdatesRefuses() throws {
            let zero = String(repeating: "0", count: 40)
            let other = String(repeating: "1", count: 40)
            let line = "\(zero) \(other) refs/heads/else\n"
            let length = String(line.utf8.count, radix: 8)
            let word = "printf 'Q\\0\\0\\0\\\(length)%s\\n' '\(line.dropLast())'"
            try expectRefused(.file) {
                try $0.replaceHook(by: "cat >/dev/null; \(word) >&3; exit 0")
            }
        }

        /// A configuration that must not affect pushes: other hooks, frequent garbage collection,
        /// refusals.
        private func hostileConfiguration(_ directory: TemporaryDirectory) throws -> String {
            let hooks = try directory.directory("hooks")
            let names = ["pre-receive", "update", "post-receive", "reference-transaction"]
            for name in names {
                try Files.write(
                    Array("#!/bin/sh\n: >'\(directory.path)/ran-\(name)'\nexit 0\n".utf8),
                    to: "\(hooks)/\(name)", mode: 0o755)
            }
            return """
                [core]
                \thooksPath = \(hooks)
                \talternateRefsCommand = touch \(directory.path)/ran-alternates; true
                \tfsmonitor = touch \(directory.path)/ran-fsmonitor
                [receive]
                \tautogc = true
                \tunpackLimit = 100000
                \tdenyNonFastForwards = true
                \tprocReceiveRefs = refs/
                \tshallowUpdate = true
                [transfer]
                \tunpackLimit = 100000
                \thideRefs = refs/heads
                [gc]
                \tauto = 1
                \tautoPackLimit = 1
                \tautoDetach = false
                [maintenance]
                \tauto = true
                [uploadpack]
                \tpackObjectsHook = touch \(directory.path)/ran-pack-objects; false
                [safe]
                \tdirectory = /nowhere

                """
        }

        @Test(arguments: stores)
        func configurationOfSystemAndUserIsNotFelt(store: StoreUnderTest) throws {
            let directory = try TemporaryDirectory()
            let configuration = try hostileConfiguration(directory)
            let file = try directory.file("gitconfig", configuration)
            let home = try directory.directory("home")
            try directory.file("home/.gitconfig", configuration)
            try Files.makeDirectories(home + "/.config/git")
            try directory.file("home/.config/git/config", configuration)

            let site = try Site(
                store,
                environment: [
                    "HOME": home, "XDG_CONFIG_HOME": home + "/.config",
                    "GIT_CONFIG_GLOBAL": file, "GIT_CONFIG_SYSTEM": file,
                    "GIT_CONFIG_COUNT": "2",
                    "GIT_CONFIG_KEY_0": "core.hooksPath",
                    "GIT_CONFIG_VALUE_0": directory.path + "/hooks",
                    "GIT_CONFIG_KEY_1": "receive.denyCreates", "GIT_CONFIG_VALUE_1": "true",
                    "GIT_CONFIG_PARAMETERS": "'core.hooksPath=\(directory.path)/hooks'",
                    "GIT_DIR": "/nowhere", "GIT_OBJECT_DIRECTORY": "/nowhere",
                    "GIT_TEMPLATE_DIR": directory.path, "GIT_TRACE": directory.path + "/trace",
                ])
            let (repository, tree) = try seeded(site)
            for number in 1...5 {
                try tree.commit("file-\(number)")
                try tree.git("push", "-q", "origin", "main")
            }
            try tree.git("commit", "-q", "--amend", "-m", "forced")
            try tree.git("push", "-q", "--force", "origin", "main")
            try expectServed(site, repository, equals: tree)
            #expect(try site.bucket.packs(of: repository).count == 7)
            let touched = try Files.names(in: directory.path).filter { $0.hasPrefix("ran-") }
            #expect(touched == [])
            #expect(access(directory.path + "/trace", F_OK) != 0)
        }

        @Test func bridgeStillDecidesUnderAnotherConfiguration() throws {
            let directory = try TemporaryDirectory()
            let file = try directory.file("gitconfig", try hostileConfiguration(directory))
            let copy = try ProgramCopy()
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.program = copy.program
            setup.environment = ["GIT_CONFIG_GLOBAL": file, "GIT_CONFIG_SYSTEM": file]
            let site = try Site(setup)
            let (repository, tree) = try seeded(site)
            try copy.allowHook(0o644)
            try tree.commit("more")
            #expect(try !tree.attempt("push", "origin", "main").succeeded)
            try tree.git("reset", "-q", "--hard", "HEAD~1")
            try expectServed(site, repository, equals: tree)
        }

        @Test func filesThatAPushBringsAreNoConfiguration() throws {
            let site = try Site.shared(.file)
            let (repository, tree) = try seeded(site)
            try tree.commit(".gitattributes", "* filter=evil diff=evil")
            try tree.git("push", "-q", "origin", "main")
            try expectServed(site, repository, equals: tree)
        }

        @Test func objectsThatFsckRefusesAreRefused() throws {
            let site = try Site.shared(.file)
            let (repository, tree) = try seeded(site)
            let blob = try tree.git("rev-parse", "HEAD:README")
            let raw = Array("100644 .git\0".utf8) + Self.raw(blob)
            let evil = try tree.client.run(
                ["hash-object", "-t", "tree", "-w", "--stdin", "--literally"], in: tree.path,
                input: .bytes(raw)
            ).checked().text.dropLast()
            let commit = try tree.git("commit-tree", "-m", "evil", String(evil))
            let result = try tree.attempt("push", "origin", "\(commit):refs/heads/evil")
            #expect(!result.succeeded, "\(result)")
            try expectServed(site, repository, equals: tree)
        }

        private static func raw(_ hex: String) -> [UInt8] {
            let digits = Array(hex)
            return stride(from: 0, to: digits.count, by: 2).compactMap {
                UInt8(String(digits[$0...($0 + 1)]), radix: 16)
            }
        }
    }
}
