import GitProtocol
import ObjectStore
import Testing

@testable import Gateway

/// Routes.
@Suite struct RouteTests {
    private func route(
        _ method: String, _ path: String, query: String = "", type: String = ""
    ) throws(RequestError) -> Route {
        try Route(
            .with([
                "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query,
                "CONTENT_TYPE": type,
            ]))
    }

    private func status(
        _ method: String, _ path: String, query: String = "", type: String = ""
    ) -> Int {
        do {
            _ = try route(method, path, query: query, type: type)
            return 200
        } catch {
            return ErrorTable.answer(to: error).status
        }
    }

    private static let uploadType = "application/x-git-upload-pack-request"
    private static let receiveType = "application/x-git-receive-pack-request"

    @Test func threeRoutesExistWithAndWithoutTheSuffix() throws {
        let name = try #require(RepositoryName("owner/repo"))
        for path in ["/owner/repo", "/owner/repo.git"] {
            for method in ["GET", "HEAD"] {
                #expect(
                    try route(method, path + "/info/refs", query: "service=git-upload-pack")
                        == .advertise(.uploadPack, name))
                #expect(
                    try route(method, path + "/info/refs", query: "service=git-receive-pack")
                        == .advertise(.receivePack, name))
            }
            #expect(
                try route("POST", path + "/git-upload-pack", type: Self.uploadType)
                    == .fetch(name))
            #expect(
                try route("POST", path + "/git-receive-pack", type: Self.receiveType)
                    == .push(name))
        }
    }

    // W4
    @Test(arguments: Route.Suffix.allCases)
    func oneOfTheTwoURLsCanBeServedAlone(suffix: Route.Suffix) throws {
        for (path, served) in [
            ("/owner/repo", suffix != .git), ("/owner/repo.git", suffix != .none),
            ("/owner/repo.git.git", false), ("/owner/.git", false),
        ] {
            for (method, tail) in [
                ("GET", "info/refs"), ("POST", "git-upload-pack"), ("GET", "HEAD"),
                ("PUT", "git-receive-pack"),
            ] {
                let request = Request.with([
                    "REQUEST_METHOD": method, "PATH_INFO": "\(path)/\(tail)",
                    "QUERY_STRING": "service=git-upload-pack", "CONTENT_TYPE": Self.uploadType,
                ])
                do {
                    _ = try Route(request, suffix: suffix)
                    #expect(served, "\(path)/\(tail)")
                } catch {
                    #expect((error == .notFound) == !served, "\(path)/\(tail): \(error)")
                }
            }
        }
    }

    @Test(arguments: [
        "", "/", "//", "///", "/owner", "/owner/", "/owner/repo", "/owner/repo/",
        "owner/repo/HEAD",
        "/owner/repo//info/refs", "//owner/repo/info/refs", "/owner//repo/info/refs",
        "/owner/repo/info/refs/", "/owner/repo/info//refs", "/owner/repo/info",
        "/owner/repo/INFO/REFS",
        "/../repo/info/refs", "/owner/../info/refs", "/owner/repo/../repo/info/refs",
        "/owner/repo/../../etc/passwd", "/./repo/info/refs", "/owner/.git/info/refs",
        "/owner/repo.git.git/info/refs", "/owner/repo.lock/info/refs",
        "/owner/repo.lock.git/info/refs",
        "/.owner/repo/info/refs", "/-owner/repo/info/refs", "/owner/-repo/info/refs",
        "/owner/re..po/info/refs", "/owner/re po/info/refs", "/owner/re%2fpo/info/refs",
        "/owner/repo\0/info/refs", "/owner/repo\n/info/refs", "/owner/répo/info/refs",
        "/owner/re\u{301}po/info/refs", "/owner\u{301}/repo/info/refs",
        "/owner/repo/\u{301}info/refs",
        "/owner/repo\\/info/refs", "/owner/repo;x/info/refs", "/owner/repo/git-upload-archive",
        "/owner/repo/git-upload-pack/", "/owner/repo/git-upload-pack\0", "/owner/repo/HEAD/",
        "/owner/repo/pointer", "/owner/repo/objects", "/a/b/c/info/refs",
        "/\(String(repeating: "a", count: 101))/repo/info/refs", "/owner/repo/config",
    ])
    func hostilePathsAreNotFound(path: String) {
        for method in ["GET", "POST", "HEAD", "PUT", "DELETE", ""] {
            #expect(status(method, path, query: "service=git-upload-pack") == 404, "\(method)")
        }
    }

    @Test(arguments: [
        "HEAD", "objects/info/packs", "objects/info/alternates", "objects/pack/pack-1.pack",
        "objects/aa/bb", "objects/../../x",
    ])
    func dumbProtocolIsRefused(tail: String) {
        #expect(status("GET", "/owner/repo/" + tail) == 403)
    }

    @Test(arguments: [
        "", "service=", "service", "service=git-upload-archive", "service=git-upload-pack ",
        "service=GIT-UPLOAD-PACK", "Service=git-upload-pack", "service=git%2dupload-pack",
        "service=git-upload-pack&service=git-receive-pack",
        "service=git-upload-pack&service=git-upload-pack", "xservice=git-upload-pack",
        "service=\u{301}git-upload-pack", "service=git-upload-pack\u{301}",
        "service=git-upload-pack;service=git-receive-pack", "service=upload-pack",
        "service=git-upload-pack%00", "service=git-upload-pack\0",
    ])
    func serviceMustBeSpecifiedAndKnown(query: String) {
        #expect(status("GET", "/owner/repo/info/refs", query: query) == 403)
    }

    @Test func otherQueryParametersAreIgnored() {
        for query in [
            "a=b&service=git-upload-pack", "service=git-upload-pack&", "&&service=git-upload-pack",
        ] {
            #expect(status("GET", "/owner/repo/info/refs", query: query) == 200)
        }
    }

    @Test(arguments: ["PUT", "DELETE", "OPTIONS", "PATCH", "", "get"])
    func otherMethodsLearnTheAllowedOne(method: String) {
        let routes = [
            ("info/refs", "GET, HEAD"), ("git-upload-pack", "POST"), ("git-receive-pack", "POST"),
        ]
        for (tail, allowed) in routes {
            do {
                _ = try route(method, "/owner/repo/" + tail, query: "service=git-upload-pack")
                Issue.record("taken")
            } catch {
                let answer = ErrorTable.answer(to: error)
                #expect(answer.status == 405 && answer.headers == ["Allow: \(allowed)"])
            }
        }
        #expect(status("POST", "/owner/repo/info/refs") == 405)
        #expect(status("GET", "/owner/repo/git-receive-pack") == 405)
    }

    @Test(arguments: [
        "", "text/plain", "application/x-git-upload-pack-request ",
        "APPLICATION/X-GIT-UPLOAD-PACK-REQUEST",
        "application/x-git-upload-pack-result", "application/x-www-form-urlencoded",
    ])
    func otherContentTypesAreRefused(type: String) {
        #expect(status("POST", "/owner/repo/git-upload-pack", type: type) == 415)
        #expect(status("POST", "/owner/repo/git-receive-pack", type: type) == 415)
        #expect(status("POST", "/owner/repo/git-receive-pack", type: Self.uploadType) == 415)
        #expect(status("POST", "/owner/repo/git-upload-pack", type: Self.receiveType) == 415)
    }
}
