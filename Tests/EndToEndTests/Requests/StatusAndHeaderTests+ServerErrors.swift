import Posix
import TestSupport
import Testing

/// Errors that are not the client's fault.
extension EndToEnd.StatusAndHeaderTests {
    private static func logLine(_ site: Site, of answer: HTTPMessage) throws -> String {
        let identifier = try #require(answer.header("X-Request-Id"))
        let lines = site.instance.log.split(separator: "\n").filter {
            $0.contains(identifier)
        }
        #expect(lines.count == 1, "\(lines)")
        return String(lines.first ?? "")
    }

    @Test func logLineOfAFailedRequestNamesItTheRepositoryAndTheCause() throws {
        // Without a cache every request reads the store.
        let site = try Site(
            .file, options: ["--cache-size", "0"],
            environment: ["GIT_S3_BACKEND_LOG_LEVEL": "debug"])
        let (repository, tree) = try seeded(site)
        let tip = try tree.git("rev-parse", "HEAD")
        let pack = Bucket.Item.pack(try site.bucket.packs(of: repository)[0])
        let bytes = try #require(try site.bucket.read(pack))
        try site.bucket.delete(pack)
        let fetch = try site.fetch(repository, [tip])
        expectPlainError(fetch, 500)
        #expect(fetch.text.hasPrefix("The stored repository is damaged; see the server's log"))
        let line = try Self.logLine(site, of: fetch)
        #expect(line.contains(repository) && line.contains("\(pack)"), "\(line)")
        #expect(line.contains("error") && line.contains("http.status=500"), "\(line)")
        try site.bucket.overwrite(pack, with: bytes)

        let manifest = Bucket.Item.manifest(try site.bucket.pointer(of: repository))
        try site.bucket.delete(manifest)
        let refs = try site.advertisement(repository)
        expectPlainError(refs, 500)
        #expect(try Self.logLine(site, of: refs).contains(repository))

        let refused = try site.http.send("PUT", path(repository, "git-upload-pack"))
        #expect(try Self.logLine(site, of: refused).contains("http.status=405"))
    }

    /// A site behind a proxy, and a repository in it.
    private func proxied() throws -> (FaultProxy, Site, String, WorkTree) {
        let (proxy, site) = try Self.proxiedSite.get()
        proxy.reset()
        let (repository, tree) = try seeded(site)
        return (proxy, site, repository, tree)
    }

    private static let proxiedSite = Result {
        let bucket = try StoreUnderTest.seaweed.makeBucket()
        var setup = ServerProcess.Setup(bucket)
        let proxy = try bucket.makeProxy()
        setup.proxy = proxy
        return (proxy, try Site(setup))
    }

    /// Sends all three kinds of request, and expects one status and no change in the store.
    private func expectEverywhere(
        _ status: Int, _ site: Site, _ repository: String, _ tree: WorkTree,
        fault: () -> Void, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> [HTTPMessage] {
        let before = try site.bucket.listing()
        let tip = try tree.git("rev-parse", "HEAD")
        let next = try tree.commit("next")
        let body = PushBody(
            [.init(old: tip, new: next, "refs/heads/main")], capabilities: "report-status",
            pack: try tree.pack([next, "^\(tip)"]))
        fault()
        let answers = [
            try site.advertisement(repository), try site.fetch(repository, [tip]),
            try site.push(to: repository, body),
        ]
        for answer in answers {
            expectPlainError(answer, status, sourceLocation: sourceLocation)
            #expect(
                (answer.header("Retry-After") != nil) == (status == 503),
                sourceLocation: sourceLocation)
            let line = try Self.logLine(site, of: answer)
            #expect(line.contains(repository), "\(line)", sourceLocation: sourceLocation)
            #expect(
                line.contains("http.status=\(status)"), "\(line)",
                sourceLocation: sourceLocation)
            #expect(
                !line.contains("Signature") && !line.contains("Credential"), "\(line)",
                sourceLocation: sourceLocation)
        }
        #expect(try site.bucket.listing() == before, sourceLocation: sourceLocation)
        return answers
    }

    @Test func storeThatCannotServeIs503WithRetryAfter() throws {
        let (proxy, site, repository, tree) = try proxied()
        let answers = try expectEverywhere(503, site, repository, tree) {
            proxy.on("GET", .pointer, times: 1000, .answer(503, "SlowDown"))
        }
        #expect(answers[0].text.hasPrefix("The store cannot be reached. Nothing has changed"))
    }

    @Test func storeThatClosesEveryConnectionIs503WithRetryAfter() throws {
        let (proxy, site, repository, tree) = try proxied()
        _ = try expectEverywhere(503, site, repository, tree) {
            proxy.on("GET", .pointer, times: 1000, .loseRequest)
        }
    }

    @Test func storeThatNobodyListensForIs503WithRetryAfter() throws {
        let bucket = try StoreUnderTest.seaweed.makeBucket()
        var setup = ServerProcess.Setup(bucket)
        let proxy = try bucket.makeProxy()
        setup.proxy = proxy
        let site = try Site(setup)
        let (repository, tree) = try seeded(site)
        let tip = try tree.git("rev-parse", "HEAD")
        proxy.stop()
        for answer in [
            try site.advertisement(repository), try site.fetch(repository, [tip]),
        ] {
            expectPlainError(answer, 503)
            #expect(answer.header("Retry-After") != nil)
        }
    }

    @Test func bucketThatRefusesUsIs500AndTheLogSaysWhich() throws {
        let (proxy, site, repository, tree) = try proxied()
        let answers = try expectEverywhere(500, site, repository, tree) {
            proxy.on("GET", .pointer, times: 1000, .answer(403, "AccessDenied"))
        }
        #expect(answers[0].text.hasPrefix("The store refused a request"))
        let line = try Self.logLine(site, of: answers[0])
        #expect(line.contains("AccessDenied"), "\(line)")
    }

    @Test func bucketThatRefusesTheWriteIs500AndThePushHasNotHappened() throws {
        for (kind, status, code, expected) in [
            (FaultProxy.StoredKind.pack, 403, "AccessDenied", 500),
            (.manifest, 403, "AccessDenied", 500), (.pointer, 403, "AccessDenied", 500),
            (.pack, 503, "SlowDown", 503),
        ] {
            let (proxy, site, repository, tree) = try proxied()
            let tip = try tree.git("rev-parse", "HEAD")
            let pointer = try site.bucket.pointer(of: repository)
            let next = try tree.commit("next")
            proxy.on("PUT", kind, times: 1000, .answer(status, code))
            let answer = try site.push(
                to: repository,
                PushBody(
                    [.init(old: tip, new: next, "refs/heads/main")],
                    capabilities: "report-status", pack: try tree.pack([next, "^\(tip)"])))
            expectPlainError(answer, expected)
            #expect(try site.bucket.pointer(of: repository) == pointer)
            #expect(try site.instance.workspaces() == [])
        }
    }

    @Test func gitThatTakesTooLongIs504() throws {
        let git = try HarmfulGit(after: ["receive-pack"], "exec sleep 600")
        let site = try Site(
            .file, options: ["--git-timeout", "2s", "--push-keepalive", "0"],
            environment: ["PATH": git.searchPath])
        let (repository, tree) = try seeded(site)
        let tip = try tree.git("rev-parse", "HEAD")
        let next = try tree.commit("next")
        let body = PushBody(
            [.init(old: tip, new: next, "refs/heads/main")], capabilities: "report-status",
            pack: try tree.pack([next, "^\(tip)"]))
        let before = try site.bucket.listing()
        try git.begin()
        expectPlainError(try site.push(to: repository, body), 504)
        #expect(try site.bucket.listing() == before)
        try wait(for: "git's end") { try site.instance.children().isEmpty }
        #expect(try site.instance.workspaces() == [])
        git.end()
        #expect(try site.push(to: repository, body).text.contains("ok refs/heads/main"))
    }

    @Test func requestWithoutAFreeGitWaitsAndGets503WhileRefsAreServed() throws {
        let barrier = try TemporaryDirectory()
        let site = try Site(
            .file, options: ["--max-git", "1", "--queue-timeout", "3s"],
            environment: [
                "GIT_S3_BACKEND_FAULT": "fetch-hydrated=barrier:\(barrier.path)"
            ])
        let (repository, tree) = try seeded(site)
        let tip = try tree.git("rev-parse", "HEAD")
        let holder = Background { try site.fetch(repository, [tip]) }
        try wait(for: "the fetch to be held") { try !Files.names(in: barrier.path).isEmpty }
        let waiter = Background { try site.fetch(repository, [tip]) }
        #expect(try site.advertisement(repository).status == 200)
        let list = try site.http.send(
            "POST", path(repository, "git-upload-pack"),
            headers: [Self.fetchType, ("Git-Protocol", "version=2")],
            body: .bytes(PktLines.line("command=ls-refs\n") + PktLines.flush))
        #expect(list.text.contains(tip))
        let answer = try waiter.value()
        expectPlainError(answer, 503)
        #expect(answer.header("Retry-After") != nil)
        #expect(answer.text.contains("busy"))
        try barrier.file("go", "")
        #expect(try holder.value().status == 200)
    }
}
