import Glibc
import Posix
import TestSupport
import Testing

/// Messages of import and export: errors and progress.
extension EndToEnd.ImportExportTests {
    @Test func failuresAreOneSentenceAndChangeNothing() throws {
        let site = try Site.shared(.file)
        let (repository, tree) = try seeded(site)
        let detached = try self.tree()
        let shallow = try WorkTree.clone("file://\(detached.path)", "-q", "--depth", "1")
        try detached.git("checkout", "-q", "--detach")
        let other = try self.tree(format: "sha256")
        for (arguments, words) in [
            ([shallow.path, repository], "is a shallow clone"),
            ([detached.path, repository], "is detached. Specify its branch"),
            ([other.path, repository], "is published with object format sha1"),
            (["/nonexistent", repository], "'/nonexistent' is not a git repository: No such"),
        ] {
            let result = try site.command("import", arguments)
            #expect(result.ending == .exited(1), "\(result)")
            #expect(result.errors.contains(words), "\(result)")
            #expect(result.errors.split(separator: "\n").count == 1, "\(result)")
        }
        let export = try site.command("export", ["no/body", "/tmp/none"])
        #expect(export.ending == .exited(1))
        #expect(export.errors.contains("Repository 'no/body' does not exist in 'file://"))
        try expectServed(site, repository, equals: tree)
        try site.command(
            "import", [detached.path, repository, "--default-branch", "main"]
        ).checked()
    }

    @Test func unreadableRepositoryIsAnErrorAndNotOmitted() throws {
        // root can read everything unless it gives up these capabilities.
        let setpriv = try Programs.find("setpriv", remedy: "apt install util-linux")
        let bound = "-dac_override,-dac_read_search"
        let drop =
            geteuid() == 0
            ? [setpriv, "--bounding-set=\(bound)", "--inh-caps=\(bound)"] : [setpriv]
        let site = try Site.shared(.file)
        let (repository, tree) = try seeded(site)
        let other = try self.tree()
        try other.git("branch", "deep/er", "v1^{commit}")
        let git = other.path + "/.git"
        let pack = try #require(
            try Files.names(in: git + "/objects/pack").first { $0.hasSuffix(".pack") })
        for name in [
            "refs/heads/deep", "refs/heads", "refs/heads/main", "packed-refs", "HEAD",
            "objects/pack/\(pack)", "objects/pack", "objects", "config", "",
        ] {
            let path = name.isEmpty ? git : "\(git)/\(name)"
            var status = stat()
            #expect(stat(path, &status) == 0)
            chmod(path, 0)
            let result = try Command(
                drop[0],
                drop.dropFirst() + [
                    try Programs.server(), "import", other.path, repository, "--store",
                    site.setup.storeURL, "--state-dir", site.instance.stateDirectory,
                ], environment: ["PATH": "/usr/bin:/bin"]
            ).run()
            chmod(path, status.st_mode & 0o7777)
            #expect(result.ending == .exited(1), "\(name): \(result)")
            #expect(!result.errors.isEmpty, "\(name): \(result)")
        }
        try expectServed(site, repository, equals: tree)
        try site.command("import", [other.path, repository]).checked()
        try expectServed(site, repository, equals: other)
    }

    @Test func fullDiskIsReportedAndLeavesNothing() throws {
        let limit = try Programs.find("prlimit", remedy: "apt install util-linux")
        let site = try Site(.file)
        let (repository, tree) = try seeded(site)
        let large = try self.tree()
        var random = SystemRandomNumberGenerator()
        try large.commit(
            "large",
            bytes: (0..<(1 << 17)).flatMap { _ in
                withUnsafeBytes(of: random.next()) { Array($0) }
            })
        // The limit on the size of a file, which the pack exceeds.
        let result = try Command(
            limit,
            [
                "--fsize=300000", try Programs.server(), "import", large.path, repository,
                "--store", site.setup.storeURL, "--state-dir", site.instance.stateDirectory,
            ], environment: ["PATH": "/usr/bin:/bin"]
        ).run()
        #expect(result.ending == .exited(1), "\(result)")
        #expect(result.errors.contains("git failed to pack the objects: "), "\(result)")
        try expectServed(site, repository, equals: tree)
        #expect(try site.instance.workspaces() == [])
    }

    @Test func progressIsForATerminalThatWantsIt() throws {
        // It runs the command on a terminal.
        let script = try Programs.find("script", remedy: "apt install bsdutils")
        let site = try Site.shared(.file)
        let tree = try tree()
        for (options, isShown) in [([], true), (["--quiet"], false)] as [([String], Bool)] {
            let command =
                [
                    try Programs.server(), "import", tree.path, name(), "--store",
                    site.setup.storeURL, "--state-dir", site.instance.stateDirectory,
                ] + options
            let said = try Command(
                script, ["-q", "-e", "-c", command.joined(separator: " "), "/dev/null"],
                environment: ["PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"]
            ).run().checked().text
            #expect(said.contains("\rreading '") == isShown, "\(said)")
            // The progress line is erased before any lasting output.
            #expect(said.contains("\r\u{1b}[KImported '") == isShown, "\(said)")
            #expect(said.contains("Imported '"))
        }
    }
}
