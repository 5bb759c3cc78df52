import GitProtocol
import Glibc
import ObjectStore
import Posix
import TestBench
import TestSupport
import Testing

@testable import Git
@testable import Hydration
@testable import Migration
@testable import Repository

/// Repositories that can be imported, and others.
@Suite struct ImportSourceTests {
    private func refusal(
        _ path: String, head: String? = nil, accepting: [String] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> String {
        let bench = try Bench()
        let before = bench.memory.keys
        let error = #expect(throws: ImportError.self, sourceLocation: sourceLocation) {
            try bench.bring(path, head: head, accepting: accepting)
        }
        #expect(bench.memory.keys == before, sourceLocation: sourceLocation)
        #expect(try bench.leftovers().isEmpty, sourceLocation: sourceLocation)
        return error.map { "\($0)" } ?? ""
    }

    /// The file of a loose object.
    private func file(of id: String, in directory: String) -> String {
        "\(directory)/objects/\(id.prefix(2))/\(id.dropFirst(2))"
    }

    // MARK: Kinds of repositories

    @Test func everyKindOfPlaceIsTheSame() throws {
        let tree = try ImportTests.tree()
        let scratch = try TemporaryDirectory()
        try tree.git("clone", "-q", "--mirror", tree.path, scratch.path + "/bare")
        try tree.git("worktree", "add", "-q", scratch.path + "/linked", "-b", "linked", "HEAD~1")
        for (path, head) in [
            (tree.path, "main"), (tree.path + "/.git", "main"),
            (scratch.path + "/linked", "linked"),
        ] {
            let bench = try Bench()
            try bench.bring(path)
            #expect(try bench.publishedRefs() == tree.allRefs, "\(path)")
            #expect(try bench.published().manifest.head.description == "refs/heads/\(head)")
        }
        let bare = try Bench()
        try bare.bring(scratch.path + "/bare")
        _ = try bare.check()
        let moved = try WorkTree.make()
        try moved.commit("a")
        try moved.git("init", "-q", "--separate-git-dir", scratch.path + "/separate")
        let bench = try Bench()
        try bench.bring(moved.path)
        #expect(try bench.publishedRefs() == moved.allRefs)
    }

    @Test func alternatesAreFollowed() throws {
        let tree = try ImportTests.tree()
        let scratch = try TemporaryDirectory()
        let one = scratch.path + "/one"
        try tree.git("clone", "-q", "--mirror", "--shared", tree.path, one)
        try tree.git("clone", "-q", "--mirror", "--shared", one, scratch.path + "/two")
        try Files.write(
            Array("../../one/objects\n".utf8), to: scratch.path + "/two/objects/info/alternates")
        let bench = try Bench()
        try bench.bring(scratch.path + "/two")
        #expect(try bench.publishedRefs() == tree.allRefs)
        _ = try bench.check()

        Files.removeTree(one)
        #expect(try refusal(scratch.path + "/two").contains("which does not exist"))
    }

    @Test func parentDirectoriesAreNotSearched() throws {
        let tree = try ImportTests.tree()
        try Files.makeDirectories(tree.path + "/inner")
        try Files.write([], to: tree.path + "/inner/file")
        for path in ["/inner", "/inner/file", "/none", "/.git/objects"] {
            #expect(
                try refusal(tree.path + path).contains(
                    "'\(tree.path)\(path)' is not a git repository"), "\(path)")
        }
        try Files.write(Array("gitdir: /nowhere\n".utf8), to: tree.path + "/inner/.git")
        #expect(try refusal(tree.path + "/inner").contains("is not a git repository"))
    }

    @Test func shallowAndPartialClonesAreRefused() throws {
        let tree = try ImportTests.tree()
        try tree.git("config", "uploadpack.allowFilter", "true")
        let url = "file://\(tree.path)"
        let shallow = try WorkTree.clone(url, "-q", "--depth", "1")
        #expect(try refusal(shallow.path).contains("'git fetch --unshallow'"))
        let partial = try WorkTree.clone(url, "-q", "--filter=blob:none")
        #expect(try refusal(partial.path).contains("is a partial clone"))
        // Also where its configuration has forgotten.
        try partial.git("config", "--unset", "remote.origin.promisor")
        #expect(try refusal(partial.path).contains("is a partial clone"))
    }

    // MARK: HEAD and refs

    @Test func detachedHEADNeedsAnOption() throws {
        let tree = try ImportTests.tree()
        try tree.git("checkout", "-q", "--detach")
        #expect(try refusal(tree.path).contains("is detached. Specify its branch"))
        let bench = try Bench()
        try bench.bring(tree.path, head: "refs/heads/main")
        #expect(try bench.published().manifest.head.description == "refs/heads/main")
        try Files.write(Array("ref: refs/custom/x\n".utf8), to: tree.path + "/.git/HEAD")
        #expect(try refusal(tree.path).contains("points to 'refs/custom/x', which is not a branch"))
    }

    @Test func symbolicRefsAreResolvedOrOmitted() throws {
        let tree = try ImportTests.tree()
        try tree.git("symbolic-ref", "refs/heads/alias", "refs/heads/main")
        try tree.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/none")
        let bench = try Bench()
        let source = try ImportSource.open(tree.path, git: bench.git, state: bench.state)
        #expect(source.warnings.count == 2)
        #expect(source.warnings[0].hasPrefix("'refs/heads/alias' is a symbolic ref to"))
        #expect(
            source.warnings[1].hasPrefix("'refs/remotes/origin/HEAD' skipped: it points to a ref"))
        try bench.bring(tree.path)
        #expect(try bench.publishedRefs() == tree.allRefs)
    }

    @Test func refsOfOneWorkTreeAreNotImported() throws {
        let tree = try ImportTests.tree()
        let others = try tree.allRefs
        for name in ["refs/bisect/bad", "refs/worktree/x", "refs/rewritten/onto"] {
            try tree.git("update-ref", name, "HEAD")
        }
        let bench = try Bench()
        try bench.bring(tree.path)
        #expect(try bench.publishedRefs() == others)
    }

    @Test func badRefRefusesAll() throws {
        let tree = try ImportTests.tree()
        let heads = tree.path + "/.git/refs/heads"
        try Files.write(Array("nonsense\n".utf8), to: heads + "/bad")
        #expect(try refusal(tree.path).contains("ignoring broken ref refs/heads/bad"))
        try Files.write(Array((String(repeating: "1", count: 40) + "\n").utf8), to: heads + "/bad")
        #expect(try refusal(tree.path).contains("'refs/heads/bad' points to 1111"))
        try Files.write(Array((try tree.git("rev-parse", "v1") + "\n").utf8), to: heads + "/bad")
        #expect(try refusal(tree.path).contains("its branch 'refs/heads/bad' names a tag"))
        unlink(heads + "/bad")

        var packed = try Files.read(tree.path + "/.git/packed-refs")
        packed += Array("\(try tree.git("rev-parse", "main")) refs/tags/\u{1}".utf8).dropLast()
        packed += [0xff, UInt8(ascii: "\n")]
        try Files.write(packed, to: tree.path + "/.git/packed-refs")
        #expect(try refusal(tree.path).contains("whose name cannot be published"))
    }

    // MARK: Objects

    @Test func badObjectRefusesAll() throws {
        for (kind, victim, double) in [
            ("commit", "HEAD~1", "HEAD"), ("tree", "HEAD~1^{tree}", "HEAD^{tree}"),
            ("blob", "HEAD:a", "HEAD:b"),
        ] {
            let tree = try WorkTree.make()
            try tree.commit("a")
            try tree.commit("b")
            let git = tree.path + "/.git"
            let path = file(of: try tree.git("rev-parse", victim), in: git)
            let other = file(of: try tree.git("rev-parse", double), in: git)
            let bytes = try Files.read(path)

            unlink(path)
            #expect(try refusal(tree.path).contains("is broken"), "\(kind) missing")
            try Files.write(Array(bytes.prefix(bytes.count / 2)), to: path)
            #expect(try refusal(tree.path).contains("is broken"), "\(kind) cut")
            // Whole in itself, but another one of the same kind.
            try Files.write(try Files.read(other), to: path)
            #expect(try refusal(tree.path).contains("is broken"), "\(kind) another")
        }
    }

    @Test func badNewObjectRefusesARepeatedImport() throws {
        for (victim, double) in [("HEAD^{tree}", "HEAD~2^{tree}"), ("HEAD:c", "HEAD:a")] {
            let bench = try Bench()
            let tree = try WorkTree.make()
            try tree.commit("a")
            try bench.bring(tree.path)
            let before = try bench.published().digest
            try tree.commit("b")
            try tree.commit("c")
            let git = tree.path + "/.git"
            let bytes = try Files.read(file(of: try tree.git("rev-parse", double), in: git))
            try Files.write(bytes, to: file(of: try tree.git("rev-parse", victim), in: git))
            let error = #expect(throws: ImportError.self) { try bench.bring(tree.path) }
            let sentence = "\(try #require(error))"
            #expect(sentence.contains("an object's content is not what its name"), "\(sentence)")
            #expect(try bench.published().digest == before)
        }
    }

    @Test func packWithAFlippedBitRefusesAll() throws {
        let tree = try ImportTests.tree()
        let directory = tree.path + "/.git/objects/pack"
        let name = try #require(try Files.names(in: directory).first { $0.hasSuffix(".pack") })
        chmod("\(directory)/\(name)", 0o600)
        let whole = try Files.read("\(directory)/\(name)")
        for place in stride(from: 13, to: whole.count - 20, by: 97) {
            var bytes = whole
            bytes[place] ^= 0x10
            try Files.write(bytes, to: "\(directory)/\(name)")
            let bench = try Bench()
            // If it is in an object that exists twice, the other one is used.
            do {
                try bench.bring(tree.path)
                _ = try bench.check()
            } catch let error as ImportError {
                #expect("\(error)".contains("is broken"))
            }
        }
    }

    @Test func objectsThatPushesMayNotHaveAreRefused() throws {
        let tree = try WorkTree.make()
        let blob = try tree.git("hash-object", "-w", "--stdin", input: .bytes(Array("x".utf8)))
        let raw = try #require(ObjectID(Array(blob.utf8))).hex
        let bytes = stride(from: 0, to: 40, by: 2).map { offset in
            UInt8(raw.dropFirst(offset).prefix(2), radix: 16) ?? 0
        }
        let odd = try tree.git(
            "hash-object", "-w", "-t", "tree", "--literally", "--stdin",
            input: .bytes(Array("0100644 a\0".utf8) + bytes))
        let commit = try tree.git("commit-tree", "-m", "odd", odd)
        try tree.git("update-ref", "refs/heads/main", commit)
        let sentence = try refusal(tree.path)
        #expect(sentence.contains("zeroPaddedFilemode: "), "\(sentence)")
        #expect(sentence.hasSuffix("add --accept zeroPaddedFilemode."))
        #expect(try refusal(tree.path, accepting: ["badTimezone"]).contains("--accept"))
        let bench = try Bench()
        try bench.bring(tree.path, accepting: ["zeroPaddedFilemode"])
        #expect(try bench.publishedRefs() == "\(commit) refs/heads/main")
    }

    // MARK: What is not believed

    /// Makes the commit graph say that a commit has no parent. gitformat-commit-graph(5).
    private func cutParent(of revision: String, in tree: WorkTree) throws {
        let commits = try tree.client.run(
            ["rev-list", "--all"], in: tree.path, environment: ["GIT_NO_REPLACE_OBJECTS": "1"]
        ).checked().line.split(separator: "\n").sorted()
        let id = try tree.client.run(
            ["rev-parse", revision], in: tree.path, environment: ["GIT_NO_REPLACE_OBJECTS": "1"]
        ).checked().line
        let row = try #require(commits.firstIndex(of: Substring(id)))
        let path = tree.path + "/.git/objects/info/commit-graph"
        var bytes = try Files.read(path)
        let entry = try #require(
            stride(from: 8, to: 100, by: 12).first {
                bytes[$0..<($0 + 4)].elementsEqual("CDAT".utf8)
            })
        let data = bytes[(entry + 4)..<(entry + 12)].reduce(0) { $0 << 8 + Int($1) }
        // Tree, two parents, generation and time.
        let parent = data + row * 36 + 20
        bytes.replaceSubrange(parent..<(parent + 4), with: [0x70, 0, 0, 0])
        chmod(path, 0o600)
        try Files.write(bytes, to: path)
        let count = try tree.client.run(
            ["rev-list", "--count", revision], in: tree.path,
            environment: ["GIT_NO_REPLACE_OBJECTS": "1"]
        ).checked().line
        #expect(count == "1", "the graph does not deceive git")
    }

    @Test func graftsAndReplacementsChangeNothing() throws {
        // No other ref reaches what its one branch does.
        let tree = try WorkTree.make()
        for number in 1...5 { try tree.commit("file-\(number)") }
        try tree.git("commit-graph", "write", "--reachable")
        let count = try tree.client.run(
            ["rev-list", "--count", "main"], in: tree.path,
            environment: ["GIT_NO_REPLACE_OBJECTS": "1"]
        ).checked().line
        try cutParent(of: "main", in: tree)
        try tree.git("replace", "HEAD", "HEAD~2")
        try Files.makeDirectories(tree.path + "/.git/info")
        try Files.write(
            Array("\(try tree.git("rev-parse", "HEAD"))\n".utf8),
            to: tree.path + "/.git/info/grafts")
        let bench = try Bench()
        try bench.bring(tree.path)
        let workspace = try bench.hydration().readWorkspace(
            try bench.published(), log: Bench.log, limits: .none)
        let copy = try bench.git.output(
            GitRun(["rev-list", "--count", "main"], to: "count", limits: .none),
            in: workspace.workspace)
        #expect(copy.text == [count])
        #expect(try bench.publishedRefs().contains("refs/replace/"))
        _ = try bench.check()
    }

    @Test func configurationOfTheSourceRunsNothing() throws {
        let tree = try ImportTests.tree()
        let scratch = try TemporaryDirectory()
        let mark = scratch.path + "/ran"
        let script = scratch.path + "/script"
        try Files.write(Array("#!/bin/sh\n: >\(mark)\n".utf8), to: script, mode: 0o755)
        for name in [
            "core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.askPass",
            "core.alternateRefsCommand", "uploadpack.packObjectsHook", "credential.helper",
            "gpg.program", "diff.external", "alias.rev-parse", "alias.for-each-ref",
            "alias.pack-objects", "pager.for-each-ref", "filter.x.clean", "core.gitProxy",
        ] {
            let value = name.hasPrefix("alias.") ? "!\(script)" : script
            try tree.git("config", name, value)
        }
        try tree.git("config", "core.hooksPath", scratch.path + "/hooks")
        try tree.git("config", "core.worktree", "/nonexistent")
        try Files.makeDirectories(scratch.path + "/hooks")
        for hook in ["reference-transaction", "post-index-change", "pre-auto-gc"] {
            try Files.write(
                Array("#!/bin/sh\n: >\(mark)\n".utf8), to: "\(scratch.path)/hooks/\(hook)",
                mode: 0o755)
        }
        let bench = try Bench()
        try bench.bring(tree.path)
        #expect(access(mark, F_OK) != 0)

        // A missing object would be fetched, by a transport that is a program.
        try Files.write(
            try Files.read(tree.path + "/.git/config")
                + Array(
                    """
                    [extensions]
                    \tpartialClone = evil
                    [remote "evil"]
                    \tpromisor = true
                    \turl = ext::\(script)
                    [protocol "ext"]
                    \tallow = always

                    """.utf8), to: tree.path + "/.git/config")
        try tree.client.git(
            "config", "--file", tree.path + "/.git/config", "core.repositoryFormatVersion", "1")
        try Files.write(
            Array((String(repeating: "1", count: 40) + "\n").utf8),
            to: tree.path + "/.git/refs/heads/missing")
        #expect(try refusal(tree.path).contains("is a partial clone"))
        #expect(access(mark, F_OK) != 0)
    }

    @Test func unknownExtensionIsRefused() throws {
        let tree = try ImportTests.tree()
        try tree.git("config", "core.repositoryFormatVersion", "1")
        try tree.git("config", "extensions.unheardOf", "1")
        #expect(try refusal(tree.path).contains("unknown repository extension"))
    }
}
