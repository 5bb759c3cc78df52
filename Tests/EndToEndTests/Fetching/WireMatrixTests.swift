import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// Raw requests, answered by every front and by `git http-backend`: the subjects of git's
    /// t5561, t5562, t5702, t5703 and t5705.
    @Suite struct WireMatrixTests {
        private typealias Header = (name: String, value: String)

        private static func type(_ service: String) -> Header {
            ("Content-Type", "application/x-git-\(service)-request")
        }
        private static let v2: Header = ("Git-Protocol", "version=2")

        // MARK: Advertisements

        @Test(arguments: fronts, ["upload-pack", "receive-pack"])
        func advertisementIsByteForByteGits(front: Front, service: String) throws {
            let reference = try HTTPBackendSite.shared()
            let site = try front.shared()
            let history = try History.shared.get()
            let repositories = [
                [try history.published(on: reference), try history.published(on: site)],
                try [reference as any GitHost, site].map { try $0.create() },
                try [reference as any GitHost, site].map {
                    try $0.create(nil, "--object-format", "sha256")
                },
            ]
            for pair in repositories {
                for header in [
                    "", "version=0", "version=1", "version=2", "version=1:version=2", "x",
                ] {
                    let headers: [Header] = [Site.authorization, ("Git-Protocol", header)]
                    let theirs = try reference.advertisement(
                        pair[0], service: "git-\(service)", headers: headers)
                    let ours = try site.advertisement(
                        pair[1], service: "git-\(service)", headers: headers)
                    #expect(ours.status == 200)
                    var expected = theirs.text
                    // receive-pack has no version 2. `git http-backend` omits the service's
                    // pkt-line nevertheless, and so its answer names no service: no client could
                    // use that.
                    if service == "receive-pack", header.contains("version=2") {
                        #expect(!expected.hasPrefix("001f#"))
                        expected = "001f# service=git-receive-pack\n0000" + expected
                    }
                    #expect(ours.text == expected, "\(header)")
                    for name in ["Content-Type", "Cache-Control", "Pragma", "Expires"] {
                        #expect(ours.header(name) == theirs.header(name))
                    }
                }
            }
        }

        @Test(arguments: fronts) func everythingAdvertisedIsServed(front: Front) throws {
            let site = try front.shared()
            let repository = try History.shared.get().published(on: site)
            let fetches = try [[], [Self.v2]].map {
                try site.advertisement(repository, headers: $0).text
            }
            for text in fetches {
                #expect(text.contains("filter"))
                for word in [
                    "session-id", "ref-in-want", "packfile-uris", "bundle-uri", "sideband-all",
                ] { #expect(!text.contains(word), "\(word): \(text)") }
            }
            let push = try site.advertisement(
                repository, service: "git-receive-pack", headers: [Site.authorization]
            ).text
            for word in ["push-cert", "session-id"] { #expect(!push.contains(word)) }
            for word in [
                "report-status-v2", "side-band-64k", "atomic", "push-options", "delete-refs",
                "quiet", "ofs-delta", "object-format=sha1",
            ] { #expect(push.contains(word), "\(word): \(push)") }
        }

        // MARK: Requests

        /// One request, and its known differences.
        private struct Row: CustomStringConvertible {
            let method: String
            let tail: String
            var headers: [Header] = []
            var body = HTTPClient.Body.none
            /// Our status and git's, if they are known to differ.
            var differing: (ours: Int, gits: Int)?

            var description: String {
                let bytes: [UInt8] =
                    switch body {
                    case .bytes(let bytes), .cut(let bytes, _): bytes
                    case .chunks(let chunks): Array(chunks.joined())
                    case .none: []
                    }
                return "\(method) \(tail) \(headers.map(\.value)) '\(text(bytes).prefix(300))'"
            }
        }

        private static func v2(_ lines: [String], _ arguments: [String] = []) -> HTTPClient.Body {
            .bytes(
                lines.flatMap { PktLines.line("\($0)\n") } + PktLines.delimiter
                    + arguments.flatMap { PktLines.line("\($0)\n") } + PktLines.flush)
        }

        private static func fetch(
            _ body: HTTPClient.Body, _ headers: [Header] = [], _ differing: (Int, Int)? = nil
        ) -> Row {
            Row(
                method: "POST", tail: "git-upload-pack", headers: [type("upload-pack")] + headers,
                body: body, differing: differing.map { (ours: $0.0, gits: $0.1) })
        }

        private static func push(
            _ body: HTTPClient.Body, _ headers: [Header] = [], _ differing: (Int, Int)? = nil
        ) -> Row {
            Row(
                method: "POST", tail: "git-receive-pack",
                headers: [type("receive-pack"), Site.authorization] + headers, body: body,
                differing: differing.map { (ours: $0.0, gits: $0.1) })
        }

        private func expectSame(
            _ front: Front, _ rows: [Row], sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let reference = try HTTPBackendSite.shared()
            let site = try front.shared()
            let history = try History.shared.get()
            let names = (try history.published(on: reference), try history.published(on: site))
            for row in rows {
                func send(_ host: any GitHost, _ repository: String) throws -> HTTPMessage {
                    try host.http.send(
                        row.method, "/git/\(repository).git/\(row.tail)", headers: row.headers,
                        body: row.body)
                }
                let (theirs, ours) = (try send(reference, names.0), try send(site, names.1))
                let what = "\(row): \(ours.start) \(ours.text), git: \(theirs.start) \(theirs.text)"
                if let differing = row.differing {
                    #expect(
                        ours.status == differing.ours && theirs.status == differing.gits, "\(what)",
                        sourceLocation: sourceLocation)
                    continue
                }
                #expect(ours.status == theirs.status, "\(what)", sourceLocation: sourceLocation)
                for name in ["Allow", "Cache-Control", "Pragma", "Expires"] {
                    #expect(
                        ours.header(name) == theirs.header(name), "\(name) of \(what)",
                        sourceLocation: sourceLocation)
                }
                guard theirs.status == 200 else { continue }
                #expect(
                    ours.header("Content-Type") == theirs.header("Content-Type"), "\(what)",
                    sourceLocation: sourceLocation)
                #expect(
                    Self.comparable(ours.body) == Self.comparable(theirs.body), "\(what)",
                    sourceLocation: sourceLocation)
            }
        }

        /// An answer up to its pack: git may pack it differently each time.
        private static func comparable(_ body: [UInt8]) -> [UInt8] {
            guard let pack = body.firstRange(of: Array("PACK".utf8)) else { return body }
            // Excludes the length of the side-band packet, too.
            return Array(body[..<max(0, pack.lowerBound - 5)])
        }

        @Test(arguments: fronts) func pathsAndMethodsAreAnsweredAsByGit(front: Front) throws {
            let list = "info/refs?service=git-upload-pack"
            try expectSame(
                front,
                [
                    Row(method: "GET", tail: list), Row(method: "HEAD", tail: list),
                    Row(method: "POST", tail: list), Row(method: "PUT", tail: list),
                    Row(method: "DELETE", tail: list),
                    Row(method: "GET", tail: list + "&x=y"),
                    Row(method: "GET", tail: "x=y&" + list, differing: (404, 404)),
                    Row(method: "GET", tail: "info/refs?service=git-receive-pack"),
                    Row(
                        method: "GET", tail: "info/refs?service=git-receive-pack",
                        headers: [Site.authorization]),
                    Row(method: "GET", tail: "info/refs?service=git-upload-archive"),
                    Row(method: "GET", tail: "info/refs?service=upload-pack"),
                    Row(method: "GET", tail: "info/refs?service="),
                    Row(method: "GET", tail: "git-upload-pack"),
                    Row(method: "HEAD", tail: "git-upload-pack"),
                    Row(method: "GET", tail: "git-receive-pack", headers: [Site.authorization]),
                    Row(
                        method: "POST", tail: "git-receive-pack",
                        headers: [Self.type("receive-pack")]),
                    Row(method: "GET", tail: "refs/heads/main"), Row(method: "GET", tail: ""),
                    Row(method: "GET", tail: "config"),
                    Row(method: "GET", tail: "git-upload-archive"),
                    Row(method: "GET", tail: "info/refs/x"),
                    // The dumb protocol is refused.
                    Row(method: "GET", tail: "info/refs", differing: (403, 200)),
                    Row(method: "GET", tail: "info/refs?x=y", differing: (403, 200)),
                    Row(method: "GET", tail: "HEAD", differing: (403, 200)),
                    Row(method: "GET", tail: "objects/info/packs", differing: (403, 200)),
                    Row(method: "GET", tail: "objects/info/alternates", differing: (403, 404)),
                    Row(method: "GET", tail: "objects/info/http-alternates", differing: (403, 404)),
                    Row(
                        method: "GET", tail: "objects/12/34567890123456789012345678901234567890",
                        differing: (403, 404)),
                    Row(
                        method: "GET",
                        tail: "objects/pack/pack-1234567890123456789012345678901234567890.idx",
                        differing: (403, 404)),
                ])
        }

        @Test(arguments: fronts) func bodiesOfFetchesAreAnsweredAsByGit(front: Front) throws {
            let tip = try History.shared.get().tree.git("rev-parse", "main")
            let wants = Site.wants([tip])
            let zipped = try gzip(wants)
            let gzipped: Header = ("Content-Encoding", "gzip")
            try expectSame(
                front,
                [
                    Self.fetch(.bytes(wants)), Self.fetch(.chunks([wants])),
                    Self.fetch(.chunks(wants.map { [$0] })),
                    Self.fetch(.bytes(zipped), [gzipped]), Self.fetch(.chunks([zipped]), [gzipped]),
                    Self.fetch(.bytes(zipped), [("Content-Encoding", "x-gzip")]),
                    Self.fetch(.bytes(wants), [("Content-Encoding", "identity")]),
                    Self.fetch(.bytes(PktLines.flush)),
                    Self.fetch(.bytes(PktLines.flush), [Self.v2]),
                    // Empty bodies: `git http-backend` answers without reading them, and fcgiwrap,
                    // which may still be writing, would get an error.
                    Row(
                        method: "POST", tail: "git-upload-pack",
                        headers: [("Content-Type", "text/x")], body: .bytes([])),
                    Row(method: "POST", tail: "git-upload-pack", body: .bytes([])),
                    Row(
                        method: "POST", tail: "git-upload-pack",
                        headers: [Self.type("receive-pack")], body: .bytes([])),
                    // `git http-backend` sends its 200 before it notices the error; we report it.
                    Self.fetch(.bytes([]), [], (400, 200)),
                    Self.fetch(.bytes([]), [Self.v2], (400, 200)),
                    Self.fetch(.chunks([]), [Self.v2], (400, 200)),
                    Self.fetch(.bytes(Array(wants.dropLast(5))), [], (400, 200)),
                    Self.fetch(.bytes(Array("garbage".utf8)), [], (400, 200)),
                    Self.fetch(.bytes(Array(zipped.prefix(10))), [gzipped], (400, 200)),
                    Self.fetch(.bytes([]), [gzipped], (400, 200)),
                    Self.fetch(.bytes(wants), [gzipped], (400, 200)),
                    Self.fetch(.bytes(zipped), [("Content-Encoding", "br")], (415, 200)),
                ])
        }

        @Test(arguments: fronts) func commandsOfVersionTwoAreAnsweredAsByGit(front: Front) throws {
            let tree = try History.shared.get().tree
            let tip = try tree.git("rev-parse", "main")
            let old = try tree.git("rev-parse", "main~3")
            let none = String(repeating: "1", count: 40)
            func list(_ arguments: String..., differing: (Int, Int)? = nil) -> Row {
                Self.fetch(Self.v2(["command=ls-refs"], arguments), [Self.v2], differing)
            }
            func fetch(_ arguments: String..., differing: (Int, Int)? = nil) -> Row {
                Self.fetch(
                    Self.v2(["command=fetch", "object-format=sha1"], ["no-progress"] + arguments),
                    [Self.v2], differing)
            }
            try expectSame(
                front,
                [
                    list(), list("peel"), list("symrefs"), list("unborn"),
                    list("peel", "symrefs", "unborn"), list("ref-prefix refs/tags/"),
                    list("peel", "ref-prefix refs/heads/m", "ref-prefix HEAD", "symrefs"),
                    list("ref-prefix "), list("ref-prefix none"), list("ref-prefix refs/changes"),
                    fetch("want \(tip)", "done"), fetch("want \(tip)", "have \(old)", "done"),
                    fetch("want \(tip)", "have \(old)"), fetch("want \(tip)", "have \(none)"),
                    fetch("want \(old)", "done"),
                    fetch("want \(tip)", "have \(tip)", "wait-for-done"),
                    fetch("want \(tip)", "have \(tip)", "done"),
                    fetch("want \(tip)", "deepen 1", "done"),
                    fetch("want \(tip)", "deepen-not refs/tags/light", "done"),
                    fetch("want \(tip)", "filter blob:none", "done"),
                    fetch(
                        "want \(tip)", "want \(old)", "have \(old)", "have \(none)", "thin-pack",
                        "include-tag", "ofs-delta", "done"),
                    fetch("want \(tip)", "shallow \(old)", "have \(old)", "done"),
                    fetch("want \(none)", "done"), fetch("done"), fetch(),
                    Self.fetch(
                        Self.v2(["command=ls-refs", "agent=x/1", "server-option=a"], []), [Self.v2]),
                    Self.fetch(
                        Self.v2(["command=object-info"], ["size", "oid \(old)", "oid \(tip)"]),
                        [Self.v2]),
                    // Not advertised: without effect, or refused.
                    fetch("want \(tip)", "packfile-uris https", "done"),
                    fetch("want-ref refs/heads/main", "done", differing: (400, 200)),
                    fetch("want \(tip)", "sideband-all", "done", differing: (400, 200)),
                    fetch("want \(tip)", "filter none", "done", differing: (400, 200)),
                    fetch("want \(tip)", "filter sparse:oid=main:none", "done"),
                    fetch("want \(tip)", "filter tree:1", "done"),
                    fetch("want \(tip)", "deepen x", "done", differing: (400, 200)),
                    fetch("want x", "done", differing: (400, 200)),
                    list("none", differing: (400, 200)),
                    Self.fetch(Self.v2(["command=none"]), [Self.v2], (400, 200)),
                    Self.fetch(Self.v2(["command=bundle-uri"]), [Self.v2], (400, 200)),
                    Self.fetch(Self.v2(["agent=x"]), [Self.v2], (400, 200)),
                    Self.fetch(
                        Self.v2(["command=fetch", "object-format=sha256"], ["done"]), [Self.v2],
                        (400, 200)),
                    Self.fetch(
                        Self.v2(["command=fetch", "session-id=x"], ["done"]), [Self.v2], (400, 200)),
                ])
        }

        @Test(arguments: fronts) func bodiesOfPushesAreAnsweredAsByGit(front: Front) throws {
            let tree = try History.shared.get().tree
            let tip = try tree.git("rev-parse", "main")
            let stale = String(repeating: "1", count: 40)
            let gzipped: Header = ("Content-Encoding", "gzip")
            // All of these leave the repository unchanged, since it is shared.
            func body(
                _ commands: [PushBody.Command], _ capabilities: String = "report-status",
                pack: [UInt8] = PushBody.emptyPack
            ) -> [UInt8] {
                PushBody(commands, capabilities: capabilities, pack: pack).bytes
            }
            let moved = PushBody.Command(old: stale, new: tip, "refs/heads/main")
            let refused = body([moved])
            let banded = body([moved], "report-status side-band-64k atomic")
            let missing = PushBody.Command(old: nil, new: stale, "refs/heads/x")
            let zipped = try gzip(refused)
            try expectSame(
                front,
                [
                    Self.push(.bytes(PktLines.flush)), Self.push(.bytes(refused)),
                    Self.push(.chunks([refused])), Self.push(.bytes(banded)),
                    Self.push(.bytes(body([moved], "report-status-v2 quiet object-format=sha1"))),
                    Self.push(.bytes(zipped), [gzipped]),
                    Self.push(.chunks(zipped.map { [$0] }), [gzipped]),
                    Self.push(.bytes(body([missing]))),
                    Row(
                        method: "POST", tail: "git-receive-pack",
                        headers: [Site.authorization, Self.type("upload-pack")], body: .bytes([])),
                    // G5
                    Self.push(.bytes([]), [], (400, 200)),
                    Self.push(.chunks([]), [], (400, 200)),
                    Self.push(.chunks([PktLines.flush])),
                    Self.push(.bytes(PktLines.flush + PushBody.emptyPack), [], (400, 200)),
                    Self.push(.bytes(Array(refused.dropLast(10)))),
                    Self.push(.bytes(Array(refused.prefix(50))), [], (400, 200)),
                    Self.push(.bytes(Array("garbage".utf8)), [], (400, 200)),
                    Self.push(.bytes(Array(zipped.prefix(20))), [gzipped], (400, 200)),
                    Self.push(.bytes(refused), [gzipped], (400, 200)),
                    Self.push(.bytes(zipped), [("Content-Encoding", "br")], (415, 200)),
                ])
        }

        /// git accepts the deletion of a ref with any old value, as long as it does not know that
        /// object.
        @Test(arguments: fronts)
        func deletionOfAValueThatTheRefHasNotIsRefusedHereAlone(front: Front) throws {
            let stale = String(repeating: "1", count: 40)
            let body = PushBody(
                [.init(old: stale, new: nil, "refs/heads/topic")], capabilities: "report-status",
                pack: [])
            let reference = try HTTPBackendSite.shared()
            let theirs = try reference.push(
                to: try History.shared.get().publish(to: reference), body)
            #expect(theirs.text.contains("ok refs/heads/topic"), "\(theirs.text)")

            let site = try front.shared()
            let repository = try History.shared.get().publish(to: site)
            let ours = try site.push(to: repository, body)
            #expect(ours.text.contains("ng refs/heads/topic stale info"), "\(ours.text)")
            let refs = try History.shared.get().tree.git("ls-remote", site.anonymousURL(repository))
            #expect(refs.contains("refs/heads/topic"))
        }
    }
}
