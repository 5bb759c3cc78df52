import TestSupport
import Testing

extension EndToEnd {
    /// The subjects of git's t5551 and t5702, behind every web server and compared with git itself.
    @Suite struct FetchMatrixTests {
        @Test(arguments: fronts, 0...2)
        func cloneFetchAndPushTakeTheRequestsThatTheyTakeOfGit(front: Front, version: Int) throws {
            try sameAsGit(front, "\(version)") { session in
                let repository = try session.publish()
                let option = "protocol.version=\(version)"
                let (reader, clone) = try session.attemptClone(repository, ["-c", option])
                let list = "GET info/refs?service=git-upload-pack 200"
                let post = "POST git-upload-pack 200"
                #expect(
                    session.requests(clone) == [list, post] + (version == 2 ? [post] : []),
                    "\(clone)")
                let greeting = clone.packets.contains { $0.hasSuffix("< version \(version)") }
                #expect(greeting == (version > 0), "\(clone)")
                let fsck = try reader.attempt("fsck", "--full", "--strict", "--no-dangling")
                #expect(fsck.succeeded, "\(fsck)")

                let writer = try session.clone(repository, "-q", "-c", option)
                let tip = try writer.commit("new", "new")
                let push = try session.git(writer, "push", "origin", "main")
                #expect(session.requests(push).last == "POST git-receive-pack 200")
                try session.git(reader, "fetch", "origin")
                #expect(try reader.git("rev-parse", "origin/main") == tip)
                let again = try session.git(reader, "fetch", "origin")
                #expect(session.requests(again) == [list] + (version == 2 ? [post] : []))
                try session.git(writer, "push", "origin", "main")
            }
        }

        @Test(arguments: fronts) func refsAreListedAsByGit(front: Front) throws {
            try sameAsGit(front) { session in
                let url = session.host.anonymousURL(try session.published())
                let tree = try WorkTree.make(remote: url)
                for version in 0...2 {
                    let option = "protocol.version=\(version)"
                    for arguments in [
                        [], ["--symref"], ["--heads"], ["--tags"], ["--refs"],
                        ["--sort=-v:refname"],
                    ] {
                        let run = try tree.client.traced(
                            ["-c", option, "ls-remote"] + arguments + ["origin"], in: tree.path)
                        session.note("\(option) \(arguments)", run.text)
                        #expect(run.text.contains("refs/"))
                    }
                    let one = try session.git(tree, "-c", option, "ls-remote", "origin", "topic")
                    #expect(one.text.split(separator: "\n").count == 1)
                    try session.attempt(
                        tree, "-c", option, "ls-remote", "--exit-code", "origin", "none")
                }
            }
        }

        @Test(arguments: fronts) func versionTwoListsOnlyWhatIsAskedFor(front: Front) throws {
            try sameAsGit(front) { session in
                let repository = try session.published()
                let tree = try WorkTree.make(remote: session.host.anonymousURL(repository))
                func listed(_ run: TracedRun) -> [String] {
                    run.packets.compactMap {
                        $0.firstMatch(of: /<\ [0-9a-f]{40}\ (\S+)/).map { String($0.output.1) }
                    }
                }
                let list = try session.git(tree, "ls-remote", "--heads", "origin", "main")
                #expect(listed(list) == ["refs/heads/main", "refs/heads/topic"])
                #expect(list.requests.count == 2)
                let branch = try session.git(tree, "fetch", "--no-tags", "origin", "topic")
                #expect(listed(branch) == ["refs/heads/topic"])

                // To fetch an object id no list is needed.
                let id = try History.shared.get().tree.git("rev-parse", "main~2")
                let exact = try session.git(tree, "fetch", "--no-tags", "origin", id)
                #expect(listed(exact).isEmpty)
                #expect(!exact.packets.contains { $0.contains("command=ls-refs") })
                #expect(try tree.git("rev-parse", "FETCH_HEAD") == id)
            }
        }

        @Test(arguments: fronts, 0...2)
        func emptyRepositoryIsClonedWithWhatItsVersionTells(front: Front, version: Int) throws {
            try sameAsGit(front, "\(version)") { session in
                let repository = try session.host.create(nil, "--default-branch", "trunk")
                let option = "protocol.version=\(version)"
                let tree = try session.clone(repository, "-c", option)
                let bare = try session.clone(repository, "--bare", "-q", "-c", option)
                let head = try tree.git("symbolic-ref", "HEAD")
                #expect(head == (version == 2 ? "refs/heads/trunk" : "refs/heads/main"))
                session.note("bare", try bare.git("symbolic-ref", "HEAD"))
                try session.git(tree, "ls-remote", "--symref", "origin")
                try session.git(tree, "fetch", "origin")
                try session.attempt(tree, "fetch", "origin", "trunk")

                // Whether a client adopts the format of an empty repository depends on its own
                // version.
                let other = try session.host.create(nil, "--object-format", "sha256")
                let long = try session.clone(other, "-c", option)
                session.note("format", try long.git("rev-parse", "--show-object-format"))
            }
        }

        @Test(arguments: fronts, [0, 2])
        func unbornHEADIsNotInvented(front: Front, version: Int) throws {
            try sameAsGit(front, "\(version)") { session in
                let repository = try session.host.create(nil, "--default-branch", "trunk")
                let source = try History.shared.get().tree
                try source.git("push", "-q", session.host.url(repository), "main", "topic")
                let option = "protocol.version=\(version)"
                let tree = try session.clone(repository, "-c", option)
                session.note("HEAD", try tree.git("symbolic-ref", "HEAD"))
                session.note(
                    "bare", try session.clone(repository, "--bare").git("symbolic-ref", "HEAD"))
                session.note("refs", try tree.git("for-each-ref"))
                try session.git(tree, "-c", option, "ls-remote", "--symref", "origin")
                // Once the branch exists, it is HEAD.
                try source.git("push", "-q", session.host.url(repository), "topic:trunk")
                let again = try session.clone(repository, "-c", option)
                #expect(try again.git("symbolic-ref", "HEAD") == "refs/heads/trunk")
            }
        }

        /// `git http-backend` uses the name of a directory literally.
        @Test(arguments: fronts) func urlMayLackItsGitAndEndInASlash(front: Front) throws {
            let site = try front.shared()
            let url = site.anonymousURL(try History.shared.get().published(on: site))
            let tree = try WorkTree.make()
            let expected = try tree.git("ls-remote", url)
            for form in [url + "/", String(url.dropLast(4)), String(url.dropLast(4)) + "/"] {
                #expect(try tree.git("ls-remote", form) == expected, "\(form)")
            }
        }

        @Test(arguments: fronts, [0, 2])
        func idsAreFetchedWhetherOrNotARefNamesThem(front: Front, version: Int) throws {
            try sameAsGit(front, "\(version)") { session in
                let repository = try session.publish()
                let source = try History.shared.get().tree
                try source.git(
                    "push", "-q", session.host.url(repository), ":topic", ":refs/changes/1")
                let tree = try WorkTree.make(remote: session.host.anonymousURL(repository))
                try tree.git("config", "protocol.version", "\(version)")
                // An ancestor of a tip, and the tip of a deleted branch: objects are never dropped.
                for revision in ["main~3", "topic"] {
                    let id = try source.git("rev-parse", revision)
                    try session.git(
                        tree, "fetch", "-q", "origin", "\(id):refs/heads/\(version)x\(id)")
                    #expect(try tree.git("cat-file", "-t", id) == "commit")
                }
                let tag = try source.git("rev-parse", "v1")
                try session.git(
                    tree, "fetch", "-q", "--no-tags", "origin", "\(tag):refs/tags/fetched")
                #expect(try tree.git("cat-file", "-t", "fetched") == "tag")
                #expect(try tree.git("for-each-ref", "refs/tags").contains("refs/tags/fetched"))

                let unknown = String(repeating: "1", count: 40)
                let refused = try session.attempt(tree, "fetch", "-q", "origin", unknown)
                #expect(!refused.succeeded)
                #expect(refused.errors.contains("not our ref \(unknown)"), "\(refused)")
                let missing = try session.attempt(tree, "fetch", "-q", "origin", "refs/heads/none")
                #expect(missing.errors.contains("couldn't find remote ref refs/heads/none"))
            }
        }

        @Test(arguments: fronts, [0, 2])
        func tagsFollowWhatIsFetchedAndOnlyThat(front: Front, version: Int) throws {
            try sameAsGit(front, "\(version)") { session in
                let repository = try session.published()
                func fetched(_ arguments: String...) throws -> String {
                    let tree = try WorkTree.make(remote: session.host.anonymousURL(repository))
                    let run = try tree.client.traced(
                        ["-c", "protocol.version=\(version)", "fetch", "-q"] + arguments,
                        in: tree.path)
                    try run.result.checked()
                    session.note("requests for \(arguments)", session.requests(run))
                    return try tree.git("for-each-ref", "--format=%(refname)", "refs/tags")
                }
                let branch = "+refs/heads/main:refs/remotes/origin/main"
                let all = "refs/tags/blob\nrefs/tags/light\nrefs/tags/nested\nrefs/tags/v1"
                #expect(try fetched("origin", branch) == all)
                #expect(try fetched("--no-tags", "origin", branch) == "")
                #expect(
                    try fetched("origin", "+refs/heads/topic:refs/remotes/origin/topic")
                        == "refs/tags/nested\nrefs/tags/v1")
                #expect(try fetched("--tags", "origin") == all)
            }
        }

        @Test(arguments: fronts, 0...2)
        func negotiationFindsWhatIsCommonBehindManyCommitsOfOnesOwn(
            front: Front, version: Int
        ) throws {
            try sameAsGit(front, "\(version)") { session in
                let repository = try session.publish()
                let reader = try session.clone(repository, "-q")
                try reader.git("config", "protocol.version", "\(version)")
                let own = (1...70).map { number in
                    """
                    commit refs/heads/own
                    committer Test <test@example.org> \(History.time(20) + number) +0000
                    data 3
                    own
                    \(number == 1 ? "from refs/heads/main^0\n" : "")

                    """
                }
                try reader.git(
                    "fast-import", "--quiet", input: .bytes(Array(own.joined().utf8)))
                let writer = try session.clone(repository, "-q")
                let tip = try writer.commit("new", "new")
                try writer.git("push", "-q", "origin", "main")

                let before = try Self.objects(of: reader)
                let fetch = try session.git(reader, "fetch", "-q", "origin")
                #expect(try reader.git("rev-parse", "origin/main") == tip)
                // A commit, a tree and a blob: negotiation found that the rest is common.
                #expect(try Self.objects(of: reader) == before + 3)
                #expect(fetch.packets.contains { $0.contains("< ACK ") }, "\(fetch)")
                #expect(fetch.sentHeaders.contains("Content-Encoding: gzip"), "\(fetch)")
                let isReady = fetch.packets.contains { $0.hasSuffix("< ready") }
                #expect(isReady == (version == 2), "\(fetch)")
                try session.attempt(
                    reader, "fetch", "--negotiate-only", "--negotiation-tip=own", "origin")
            }
        }

        private static func objects(of tree: WorkTree) throws -> Int {
            try tree.objects().count { $0 == UInt8(ascii: "\n") }
        }

        @Test(arguments: fronts) func serverOptionsAreTakenAndMeanNothing(front: Front) throws {
            try sameAsGit(front) { session in
                let repository = try session.published()
                let tree = try WorkTree.make(remote: session.host.anonymousURL(repository))
                for arguments in [
                    ["ls-remote", "-o", "hello", "-o", "world", "origin"],
                    ["fetch", "-q", "-o", "hello", "-o", "world", "origin"],
                ] {
                    let run = try tree.client.traced(arguments, in: tree.path)
                    #expect(run.succeeded, "\(run)")
                    #expect(run.packets.contains { $0.hasSuffix("> server-option=world") })
                    session.note("\(arguments)", run.text)
                }
                try session.attempt(
                    tree, "-c", "protocol.version=0", "fetch", "-o", "hello", "origin")
            }
        }

        @Test(arguments: fronts) func headersOfTheClientAreHarmless(front: Front) throws {
            try sameAsGit(front) { session in
                let repository = try session.publish()
                let tree = try session.clone(repository, "-q")
                for (name, value) in [
                    ("http.extraHeader", "X-Forwarded-User: root"),
                    ("http.extraHeader", "Proxy: http://nowhere.invalid"),
                    ("http.userAgent", "git/0 \"'$(x)"), ("http.extraHeader", "Cookie: a=b"),
                ] {
                    try tree.git("config", "--add", name, value)
                }
                try tree.commit("new", "new")
                let language = ["LANGUAGE": "ko_KR.UTF-8:en"]
                for arguments in [["fetch", "-q"], ["push", "-q", "origin", "main"]] {
                    let run = try tree.client.traced(
                        arguments, in: tree.path, environment: language)
                    #expect(run.succeeded, "\(run)")
                    #expect(run.sentHeaders.contains { $0.hasPrefix("Accept-Language: ko-KR") })
                    #expect(run.sentHeaders.contains("X-Forwarded-User: root"))
                    session.note("\(arguments)", session.requests(run))
                }
                session.note("refs", try tree.git("ls-remote", "origin"))
            }
        }

        @Test(arguments: fronts) func progressOfTheServerIsShownUnlessUnwanted(front: Front) throws
        {
            try sameAsGit(front) { session in
                let repository = try session.publish()
                let (tree, loud) = try session.attemptClone(repository, ["--progress"])
                #expect(loud.errors.contains("remote: Counting objects: 100%"), "\(loud)")
                #expect(loud.errors.contains("remote: Total "), "\(loud)")
                #expect(try session.attemptClone(repository, ["-q"]).1.errors.isEmpty)
                let silent = try session.attemptClone(repository, ["--no-progress"]).1
                #expect(!silent.errors.contains("remote:"))

                try tree.commit("one", "one")
                let shown = try session.git(tree, "push", "--progress", "origin", "main")
                #expect(shown.errors.contains("Writing objects: 100%"), "\(shown)")
                try tree.commit("two", "two")
                let plain = try session.git(tree, "push", "--no-progress", "origin", "main")
                #expect(!plain.errors.contains("Writing objects"))
                #expect(plain.errors.contains("main -> main"))
                try tree.commit("three", "three")
                #expect(try session.git(tree, "push", "-q", "origin", "main").errors.isEmpty)
            }
        }
    }
}
