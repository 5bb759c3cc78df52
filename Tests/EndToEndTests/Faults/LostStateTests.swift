import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// A state directory that is cleared, ages, or is replaced while the program runs.
    @Suite struct LostStateTests {
        /// Sets the times of a directory and of everything in it to long ago.
        private func age(_ path: String) {
            for name in (try? Files.names(in: path)) ?? [] { age(path + "/" + name) }
            let then = timespec(tv_sec: 1, tv_nsec: 0)
            utimensat(AT_FDCWD, path, [then, then], AT_SYMLINK_NOFOLLOW)
        }

        private func pushAndExpect(
            _ site: Site, _ repository: String, _ tree: WorkTree,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            try tree.commit("next")
            let push = try tree.attempt("push", "-q", "origin", "main")
            #expect(push.succeeded, "\(push)", sourceLocation: sourceLocation)
            try expectServed(site, repository, equals: tree, sourceLocation: sourceLocation)
            #expect(!site.instance.hasEnded, sourceLocation: sourceLocation)
        }

        // D1
        @Test func processThatLostItsLockFileIsNotSweptByAnotherStart() throws {
            let site = try Site(.file)
            let (repository, tree) = try seeded(site)
            let workspaces = site.instance.stateDirectory + "/workspaces"
            for name in try Files.names(in: workspaces) {
                Files.removeTree("\(workspaces)/\(name)/lock")
            }
            age(workspaces)
            let before = try Files.names(in: workspaces)
            try site.command("compact", [repository]).checked()
            #expect(try Files.names(in: workspaces) == before)
            try pushAndExpect(site, repository, tree)
        }

        // D2
        @Test func clearedStateDirectoryIsMadeAgainByTheRunningProcess() throws {
            let site = try Site(.file)
            let (repository, tree) = try seeded(site)
            let state = site.instance.stateDirectory
            try expectServed(site, repository, equals: tree)
            for name in try Files.names(in: state) { Files.removeTree("\(state)/\(name)") }
            try expectServed(site, repository, equals: tree)
            try pushAndExpect(site, repository, tree)
            Files.removeTree(state)
            try pushAndExpect(site, repository, tree)
            var status = stat()
            #expect(stat(state, &status) == 0 && status.st_mode & 0o777 == 0o700)
            // Its new directory is as safe from other processes that start as the first one.
            try site.command("compact", [repository]).checked()
            try pushAndExpect(site, repository, tree)
            try site.instance.stop()
            #expect(try ServerProcess.workspaces(in: state) == [])
        }

        // D2
        @Test func oneThatIsClearedWhileRequestsRunFailsThoseAtMost() throws {
            let held = try Held(at: "push-hydrated")
            try held.tree.commit("held")
            let push = Background { try held.tree.attempt("push", "-q", "origin", "main") }
            try held.waitUntilHeld()
            let pointer = try held.site.bucket.pointer(of: held.repository)
            Files.removeTree(held.site.instance.stateDirectory + "/workspaces")
            try held.release()
            let result = try push.value()
            #expect(!result.succeeded, "\(result)")
            #expect(try held.site.bucket.pointer(of: held.repository) == pointer)
            try pushAndExpect(held.site, held.repository, held.tree)
        }

        // D2: after the directory was removed, other users can create one with its name in
        // /var/tmp.
        @Test func oneThatSomebodyElsePutThereIsNotUsed() throws {
            let site = try Site(.file)
            let (repository, tree) = try seeded(site)
            let state = site.instance.stateDirectory
            Files.removeTree(state)
            try Files.makeDirectories(state)
            chmod(state, 0o777)
            try tree.commit("next")
            #expect(try !tree.attempt("push", "-q", "origin", "main").succeeded)
            #expect(access(state + "/workspaces", F_OK) != 0)
            #expect(access(state + "/packs", F_OK) != 0)
            Files.removeTree(state)
            try pushAndExpect(site, repository, tree)
        }

        // D5
        @Test func directoryThatOthersCanWriteToIsRefusedUnlessThatIsAllowed() throws {
            let place = try CommandPlace()
            let state = place.directory.path + "/state"
            let variable = "GIT_S3_BACKEND_ALLOW_SHARED_STATE_DIR"
            let serve = ["serve", "--listen", "unix:\(place.directory.path)/socket"]
            for mode in [0o777, 0o1777, 0o775, 0o772] as [mode_t] {
                try Files.makeDirectories(state)
                chmod(state, mode)
                for command in [["create", "a/b"], ["compact", "a/b"], serve] {
                    let result = try place.run(command)
                    #expect(result.ending == .exited(64), "\(result)")
                    #expect(
                        result.errors.contains(
                            "Other users own the state directory '\(state)' or can write to it"),
                        "\(result)")
                }
                #expect(try Files.names(in: state) == [])
            }
            try place.run(["create", "a/b", "--allow-shared-state-dir"]).checked()
            try place.run(["create", "a/b"], [variable: "yes"]).checked()
            #expect(try place.run(["create", "a/b"], [variable: "no"]).ending == .exited(64))
            for mode in [0o755, 0o750, 0o700] as [mode_t] {
                chmod(state, mode)
                try place.run(["create", "a/b"]).checked()
            }
            // A CGI has no terminal on which to warn.
            chmod(state, 0o777)
            let cgi = try Command(
                try Programs.server(), [],
                environment: [
                    "PATH": "/usr/bin:/bin", "GATEWAY_INTERFACE": "CGI/1.1",
                    "REQUEST_METHOD": "GET", "PATH_INFO": "/a/b.git/info/refs",
                    "QUERY_STRING": "service=git-upload-pack",
                    "GIT_S3_BACKEND_STORE": place.store, "GIT_S3_BACKEND_STATE_DIR": state,
                ]
            ).run()
            #expect(cgi.text.hasPrefix("Status: 503 "), "\(cgi)")
            #expect(cgi.errors.contains("--allow-shared-state-dir"), "\(cgi)")
        }

        // D5
        @Test func directoryThatIsMadeIsItsOwnersAlone() throws {
            let place = try CommandPlace()
            let state = place.directory.path + "/some/where/state"
            try CommandPlace.run(
                ["create", "a/b", "--store", place.store, "--state-dir", state]
            ).checked()
            for path in [state, state + "/admission"] {
                var status = stat()
                #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o700, "\(path)")
            }
        }

        // D5
        @Test(.enabled(if: getuid() == 0, "requires root, to change the owner of a directory"))
        func directoryOfAnotherUserIsRefused() throws {
            let place = try CommandPlace()
            let state = place.directory.path + "/state"
            try Files.makeDirectories(state)
            #expect(chown(state, 65534, 65534) == 0)
            #expect(try place.run(["create", "a/b"]).ending == .exited(64))
            try place.run(["create", "a/b", "--allow-shared-state-dir"]).checked()
            #expect(chown(state, 0, 65534) == 0)
            try place.run(["create", "a/b"]).checked()
        }
    }
}
