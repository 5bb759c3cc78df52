import Bytes
import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// Repositories that the program's own commands import and export.
    @Suite struct ImportExportTests {
        /// A repository with every kind of ref, and with packed and loose objects.
        func tree(format: String = "sha1", commits: Int = 5) throws -> WorkTree {
            let tree = try WorkTree.make(format: format)
            try tree.grow(by: commits)
            try tree.git("tag", "light")
            try tree.git("tag", "-a", "-m", "one", "v1")
            try tree.git("tag", "-a", "-m", "two", "of-a-tag", "v1")
            try tree.git("tag", "-a", "-m", "tree", "of-a-tree", "main^{tree}")
            try tree.git("notes", "add", "-m", "a note")
            try tree.git("branch", "\u{e9}", "HEAD~2")
            try tree.git("branch", "e\u{301}", "HEAD~3")
            try tree.git("update-ref", "refs/custom/deep/er", "HEAD")
            try tree.git("gc", "-q")
            try tree.commit("loose")
            return tree
        }

        func name() -> String { "in/r-\(Hex.random(bytes: 6))" }

        /// Expects a bare repository to equal a tree: its refs byte for byte, HEAD, every object.
        private func expect(
            _ path: String, equals tree: WorkTree, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let copy = try WorkTree.clone(path, "-q", "--mirror")
            #expect(try copy.refs() == tree.refs(), sourceLocation: sourceLocation)
            let fsck = try tree.client.run(["fsck", "--full", "--strict"], in: path)
            #expect(fsck.succeeded, "\(fsck)", sourceLocation: sourceLocation)
            let head = try tree.client.git("symbolic-ref", "HEAD", in: path)
            #expect(try head == tree.git("symbolic-ref", "HEAD"), sourceLocation: sourceLocation)
            // Includes peeled tags.
            func listing(_ path: String, _ arguments: String...) throws -> [String] {
                try tree.client.run(arguments, in: path).checked().text.split(separator: "\n")
                    .filter { !$0.contains(" refs/remotes/") }.map(String.init)
            }
            #expect(
                try listing(path, "show-ref", "-d") == listing(tree.path, "show-ref", "-d"),
                sourceLocation: sourceLocation)
            #expect(
                try listing(path, "rev-list", "--objects", "--all")
                    == listing(tree.path, "rev-list", "--objects", "--all"),
                sourceLocation: sourceLocation)
        }

        // MARK: Round trips

        @Test(arguments: stores, ["sha1", "sha256"])
        func importedRepositoryIsServedAndExportedUnchanged(store: StoreUnderTest, format: String)
            throws
        {
            let site = try Site.shared(store)
            let scratch = try TemporaryDirectory()
            let repository = name()
            let tree = try tree(format: format)
            let imported = try site.command("import", [tree.path, repository]).checked()
            #expect(imported.text.hasPrefix("Imported '\(repository)': 9 refs, "))
            #expect(imported.errors == "")
            try expectServed(site, repository, equals: tree)

            let path = scratch.path + "/copy.git"
            try site.command("export", [repository, path]).checked()
            try expect(path, equals: tree)

            // An imported repository accepts pushes like any other, and the copy can be updated.
            let client = try WorkTree.clone(site.url(repository), "-q")
            try client.commit("pushed")
            try client.git("push", "-q", "origin", "main")
            try site.command("export", [repository, path]).checked()
            try tree.git("pull", "-q", "--ff-only", site.anonymousURL(repository), "main")
            try expect(path, equals: tree)
            #expect(
                try site.command("export", [repository, path]).checked().text
                    == "'\(path)' is up to date.\n")
            #expect(
                try site.command("import", [path, repository]).checked().text
                    == "'\(repository)' is up to date.\n")
        }

        @Test func longHistoryComesBack() throws {
            let site = try Site.shared(.file)
            let scratch = try TemporaryDirectory()
            let repository = name()
            let tree = try tree(commits: 2000)
            try site.command("import", [tree.path, repository]).checked()
            try site.command("export", [repository, scratch.path + "/copy"]).checked()
            try expect(scratch.path + "/copy", equals: tree)
            try expectServed(site, repository, equals: tree)
        }

        @Test func exportedRepositoryIsServedByGitHttpBackend() throws {
            let site = try Site.shared(.file)
            let scratch = try TemporaryDirectory()
            let repository = name()
            let tree = try tree()
            try site.command("import", [tree.path, repository]).checked()
            let path = scratch.path + "/root/a/b.git"
            try site.command("export", [repository, path]).checked()

            let git = try Programs.git()
            func backend(
                _ method: String, _ place: String, _ query: String, _ body: [UInt8] = []
            ) throws -> CommandResult {
                try Command(
                    git, ["http-backend"],
                    environment: [
                        "PATH": "/usr/bin:/bin", "GIT_PROJECT_ROOT": scratch.path + "/root",
                        "GIT_HTTP_EXPORT_ALL": "1", "GIT_CONFIG_NOSYSTEM": "1",
                        "REQUEST_METHOD": method, "PATH_INFO": "/a/b.git/\(place)",
                        "QUERY_STRING": query, "CONTENT_LENGTH": "\(body.count)",
                        "CONTENT_TYPE": "application/x-git-upload-pack-request",
                    ], input: .bytes(body)
                ).run().checked()
            }
            let refs = try backend("GET", "info/refs", "service=git-upload-pack").text
            for line in text(try tree.refs()).split(separator: "\n") {
                let parts = line.split(separator: "\t")
                #expect(refs.contains("\(parts[0]) \(parts[1])"), "\(line)")
            }
            let tip = try tree.git("rev-parse", "main")
            let want = PktLines.line("want \(tip) no-progress\n") + PktLines.flush
            let answer = try backend(
                "POST", "git-upload-pack", "", want + PktLines.line("done\n"))
            #expect(answer.output.count > 500)
            #expect(answer.text.contains("PACK"))
        }

        // MARK: Costs

        @Test func repeatedImportOfAGrownRepositoryStoresTheDifference() throws {
            var setup = ServerProcess.Setup(try StoreUnderTest.seaweed.makeBucket())
            let proxy = try setup.bucket.makeProxy()
            setup.proxy = proxy
            let site = try Site(setup)
            func run(_ name: String, _ arguments: String...) throws -> [String: Int] {
                proxy.reset()
                try site.command(name, arguments).checked()
                return proxy.counts
            }
            let scratch = try TemporaryDirectory()
            let tree = try tree()
            let path = scratch.path + "/copy.git"
            let resolving = ["GET pointer": 1, "GET manifest": 1]
            let writing = ["PUT pack": 1, "PUT index": 1, "PUT manifest": 1, "PUT pointer": 1]
            #expect(
                try run("import", tree.path, "a/b")
                    == writing.merging(["GET pointer": 1]) { $1 })
            #expect(try run("import", tree.path, "a/b") == resolving)
            let fetching = ["GET pack": 1, "GET index": 1]
            #expect(try run("export", "a/b", path) == resolving.merging(fetching) { $1 })
            #expect(try run("export", "a/b", path) == resolving)
            try tree.commit("more")
            #expect(try run("import", tree.path, "a/b") == resolving.merging(writing) { $1 })
            #expect(try run("export", "a/b", path) == resolving.merging(fetching) { $1 })
            try expect(path, equals: tree)
        }

        // MARK: Interruptions

        /// Runs a command that kills itself at a fault point.
        private func die(at point: String, _ site: Site, _ arguments: [String]) throws {
            let result = try Command(
                try Programs.server(),
                arguments
                    + [
                        "--store", site.setup.storeURL, "--state-dir",
                        site.instance.stateDirectory,
                    ],
                environment: ["PATH": "/usr/bin:/bin", "GIT_S3_BACKEND_FAULT": "\(point)=kill"]
            ).run()
            #expect(result.ending == .signalled(9), "\(point): \(result)")
        }

        @Test func importKilledBeforeItsSwapChangesNothing() throws {
            let site = try Site(.file)
            let (repository, tree) = try seeded(site)
            let other = try self.tree()
            try die(at: "import-packed", site, ["import", other.path, repository])
            try expectServed(site, repository, equals: tree)
            try site.command("import", [other.path, repository]).checked()
            try expectServed(site, repository, equals: other)
            #expect(try site.instance.workspaces() == [])
        }

        @Test(arguments: [
            ("export-created", false), ("export-fetched", false), ("export-locked", false),
            ("export-referenced", true),
        ])
        func exportKilledAnywhereLeavesOldOrNewRefs(point: String, isNew: Bool) throws {
            let site = try Site.shared(.file)
            let scratch = try TemporaryDirectory()
            let path = scratch.path + "/copy.git"
            let (repository, tree) = try seeded(site)
            for round in 0..<2 {
                let before = round == 0 ? [] : try tree.refs()
                if round == 1 {
                    try tree.commit("more")
                    try tree.git("branch", "topic")
                    try tree.git("push", "-q", "origin", "main", "topic")
                }
                try die(at: point, site, ["export", repository, path])
                let listed = try tree.client.run(
                    ["for-each-ref", "--format=%(objectname)%09%(refname)"], in: path
                ).checked().output
                #expect(try listed == (isNew ? tree.refs() : before), "\(point), \(round)")
                try tree.client.git("fsck", "--full", "--strict", in: path)
                try site.command("export", [repository, path]).checked()
                try expect(path, equals: tree)
            }
            #expect(
                try Files.names(in: path).sorted()
                    == ["HEAD", "config", "objects", "packed-refs", "refs"])
            #expect(try Files.names(in: scratch.path) == ["copy.git"])
        }

        @Test(arguments: [SIGINT, SIGTERM])
        func signalEndsAnImportAndItsGit(signal: Int32) throws {
            let site = try Site.shared(.file)
            let barrier = try TemporaryDirectory()
            let tree = try tree()
            let repository = name()
            let state = try TemporaryDirectory()
            let child = try Command(
                Programs.server(),
                [
                    "import", tree.path, repository, "--store", site.setup.storeURL,
                    "--state-dir", state.path,
                ],
                environment: [
                    "PATH": "/usr/bin:/bin",
                    "GIT_S3_BACKEND_FAULT": "import-packed=barrier:\(barrier.path)",
                ], directory: "/"
            ).start()
            try wait(for: "the pack") { try !Files.names(in: barrier.path).isEmpty }
            #expect(try ServerProcess.workspaces(in: state.path) != [])
            child.signal(signal)
            #expect(try child.finish().ending == .exited(128 + signal))
            #expect(try Files.names(in: state.path + "/workspaces") == [])
            #expect(try site.advertisement(repository).status == 404)
        }

        // MARK: Many repositories

        @Test func treeOfRepositoriesComesInAndGoesOut() throws {
            let site = try Site(.file)
            let scratch = try TemporaryDirectory()
            let root = try scratch.directory("root")
            let one = try tree()
            let two = try tree(format: "sha256")
            for (source, path) in [(one, "team/one.git"), (two, "team/two"), (one, "solo/x")] {
                try source.git("clone", "-q", "--mirror", source.path, "\(root)/\(path)")
            }
            try site.create("gone/soon")
            try Files.makeDirectories(root + "/team/notes")
            try Files.write([], to: root + "/file")
            let first = try site.command("import", ["--all", root]).checked()
            #expect(first.text.hasSuffix("\n3 imported, 0 up to date, 0 failed.\n"))
            for name in ["/file", "/team/notes"] {
                #expect(
                    first.errors.contains("'\(root)\(name)' skipped: not an OWNER/REPO repository.")
                )
            }
            for (source, name) in [(one, "team/one"), (two, "team/two"), (one, "solo/x")] {
                try expectServed(site, name, equals: source)
            }

            // One repository that cannot be imported does not prevent the import of the others.
            try one.git("clone", "-q", "--depth", "1", "file://\(one.path)", root + "/solo/cut")
            try one.git("clone", "-q", "--mirror", one.path, root + "/solo/x.git")
            try one.git("clone", "-q", "--mirror", one.path, root + "/solo/-bad")
            try one.git("clone", "-q", "--mirror", one.path, root + "/zoo/y")
            // A directory that nobody can list, not even root.
            try #require(symlink("loop", root + "/loop") == 0)
            let second = try site.command("import", ["--all", root])
            #expect(second.ending == .exited(1))
            #expect(second.text.hasSuffix("\n1 imported, 3 up to date, 4 failed.\n"), "\(second)")
            #expect(second.errors.contains("'\(root)/loop' cannot be read: "))
            #expect(second.errors.contains("'\(root)/solo/cut' is a shallow clone"))
            #expect(
                second.errors.contains("'\(root)/solo/x.git' would be published as 'solo/x', as "))
            #expect(
                second.errors.contains("'\(root)/solo/-bad' does not correspond to a valid name"))

            let out = scratch.path + "/out"
            let occupied = try scratch.directory("out/team/two.git")
            try Files.write([], to: occupied + "/occupied")
            let third = try site.command("export", ["--all", out])
            #expect(third.ending == .exited(1))
            #expect(third.text.hasSuffix("\n4 exported, 0 up to date, 1 failed.\n"), "\(third)")
            #expect(third.errors.contains("team/two: '\(out)/team/two.git' is neither empty nor"))
            Files.removeTree(out + "/team/two.git/occupied")
            let fourth = try site.command("export", ["--all", out]).checked()
            #expect(fourth.text.hasSuffix("\n1 exported, 4 up to date, 0 failed.\n"))
            try expect(out + "/team/two.git", equals: two)
            try expect(out + "/zoo/y.git", equals: one)
        }
    }
}

extension WorkTree {
    /// Adds commits with `git fast-import`, which creates thousands in a moment.
    fileprivate func grow(by count: Int) throws {
        var stream = ""
        for number in 1...count {
            stream +=
                "commit refs/heads/main\ncommitter T <t@example.org> \(1_700_000_000 + number)"
            stream += " +0000\ndata 1\nx"
            stream += "\nM 100644 inline dir-\(number % 17)/file-\(number % 101)\n"
            let content = "\(number) \(Hex.random())"
            stream += "data \(content.utf8.count)\n\(content)\n"
        }
        try git("fast-import", "--quiet", input: .bytes(Array(stream.utf8)))
        try git("reset", "-q", "--hard")
    }
}
