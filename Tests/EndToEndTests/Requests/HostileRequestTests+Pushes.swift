import Bytes
import Posix
import TestSupport
import Testing

extension EndToEnd.HostileRequestTests {
    // MARK: Commands

    @Test func unsafeNamesDuplicatesAndForeignIdsAreRefused() throws {
        let fixture = try Fixture()
        let tip = fixture.tip
        let next = fixture.next
        func one(_ name: String) -> PushBody.Command { .init(old: nil, new: next, name) }
        for name in [
            "refs/heads/../../x", "refs/heads/.hidden", "refs/heads/x.lock", "HEAD",
            "refs/heads/x\n", "refs/heads/@{", "refs/heads/x y", "../refs/heads/x", "",
            "refs/heads/\u{1}", "refs/heads/x\\y", "FETCH_HEAD", "config", "refs/heads/",
            "refs/heads/" + String(repeating: "a", count: 4000),
        ] {
            let what = "the name '\(name.prefix(40))'"
            try fixture.expectRefused(
                what, fixture.push([one(name)]).bytes, [200], says: "ng \(name) ")
            let atomic = fixture.push([one(name), one("refs/heads/fine")], "report-status atomic")
            try fixture.expectRefused(
                what, atomic.bytes, [200], says: "ng refs/heads/fine atomic push failure")
        }
        try fixture.expectRefused(
            "one ref twice", fixture.push([one("refs/heads/x"), one("refs/heads/x")]).bytes,
            [200], says: "ng refs/heads/x ")
        try fixture.expectRefused(
            "one ref twice, made and deleted",
            fixture.push([
                .init(old: tip, new: next, "refs/heads/main"),
                .init(old: tip, new: nil, "refs/heads/main"),
            ]).bytes, [200], says: "ng refs/heads/main ")
        try fixture.expectRefused(
            "a directory and a file",
            fixture.push([one("refs/heads/x"), one("refs/heads/x/y")], "report-status atomic")
                .bytes, [200], says: "ng refs/heads/x")
        try fixture.expectUntouched("no old and no new id") {
            let answer = try fixture.post(
                fixture.push([.init(old: nil, new: nil, "refs/heads/none")], pack: []).bytes)
            #expect([200, 400].contains(answer.status), "\(answer.start) \(answer.text)")
        }
        try fixture.expectRefused(
            "a stale old id",
            fixture.push([.init(old: next, new: next, "refs/heads/main")]).bytes, [200],
            says: "ng refs/heads/main ")
        try fixture.expectRefused(
            "a deletion of another value",
            fixture.push([.init(old: next, new: nil, "refs/heads/main")], pack: []).bytes,
            [200], says: "ng refs/heads/main ")
        try fixture.expectRefused(
            "a new id that is nowhere",
            fixture.push([
                .init(
                    old: tip, new: String(repeating: "1", count: 40), "refs/heads/main")
            ]).bytes, [200], says: "ng refs/heads/main ")
    }

    @Test func commandsOfAnotherFormatAre400() throws {
        let fixture = try Fixture()
        let long = String(repeating: "a", count: 64)
        let zero = String(repeating: "0", count: 40)
        func line(_ text: String, _ capabilities: String = " report-status") -> [UInt8] {
            PktLines.line(Array(text.utf8) + [0] + Array(capabilities.utf8)) + PktLines.flush
                + fixture.pack
        }
        let good = "\(zero) \(fixture.next) refs/heads/x"
        let bodies: [(String, [UInt8])] = [
            ("SHA-256 ids", line("\(String(repeating: "0", count: 64)) \(long) refs/heads/x")),
            ("ids of two lengths", line("\(zero) \(long) refs/heads/x")),
            ("another object format", line(good, " report-status object-format=sha256")),
            ("a second list behind a zero byte", line(good, " x\0report-status side-band-64k")),
            ("capital letters", line("\(zero) \(fixture.next.uppercased()) refs/heads/x")),
            ("short ids", line("0000 1111 refs/heads/x")), ("no ids", line("refs/heads/x")),
            ("no name", line("\(zero) \(fixture.next)")), ("an empty line", line("")),
            ("a push certificate", line("push-cert", " report-status push-cert=x")),
            (
                "a certificate among commands",
                PktLines.line(good) + PktLines.line("push-cert-end\n") + PktLines.flush
            ),
            ("a shallow line alone", line("shallow \(fixture.tip)", "")),
            ("a bad shallow line", PktLines.line("shallow x") + line(good)),
            ("a SHA-256 shallow line", PktLines.line("shallow \(long)") + line(good)),
            ("a delimiter", PktLines.delimiter + line(good)),
            ("a response end", Array("0002".utf8) + line(good)),
            ("a length of three", Array("0003".utf8) + line(good)),
            ("garbage", Array("GET / HTTP/1.0\r\n\r\n".utf8)),
            ("a bad length", Array("zzzz".utf8) + line(good)),
            ("a length above the limit", Array("fff5".utf8) + line(good)),
            ("a signed length", Array("-001".utf8) + line(good)),
        ]
        for (what, bytes) in bodies { try fixture.expectRefused(what, bytes, [400]) }
    }

    @Test func truncatedCommandsAre400AtEveryLength() throws {
        let fixture = try Fixture()
        let bytes = fixture.push([.init(old: fixture.tip, new: fixture.next, "refs/heads/main")])
            .bytes.dropLast(fixture.pack.count)
        for count in [1, 3, 5, 40, 44, bytes.count - 5, bytes.count - 4, bytes.count - 1] {
            try fixture.expectRefused("\(count) bytes", Array(bytes.prefix(count)), [400])
        }
        // Push options that were announced but do not arrive.
        try fixture.expectRefused(
            "push options that do not end",
            fixture.push(
                [.init(old: fixture.tip, new: fixture.next, "refs/heads/main")],
                "report-status push-options", pack: PktLines.line("option")
            ).bytes, [400])
    }

    // M4
    @Test func pushOptionsBeyondTheirLimitsAre413() throws {
        let fixture = try Fixture()
        let commands = fixture.push(
            [.init(old: fixture.tip, new: fixture.next, "refs/heads/main")],
            "report-status push-options", pack: []
        ).bytes
        for options in [
            Array(repeating: PktLines.line("x"), count: 10_001),
            Array(repeating: PktLines.line(String(repeating: "x", count: 60_000)), count: 18),
        ] {
            try fixture.expectRefused(
                "\(options.count) push options",
                commands + options.joined() + PktLines.flush + fixture.pack, [413])
        }
    }

    @Test func commandsBeyondTheLimitAre413() throws {
        let fixture = try Fixture()
        let zero = String(repeating: "0", count: 40)
        // No file system allows names of this length, but the limit applies first.
        let line = PktLines.line(
            "\(zero) \(fixture.next) refs/heads/" + String(repeating: "a", count: 65_000))
        let chunk = Array((0..<8).map { _ in line }.joined())
        try fixture.expectUntouched("64 MiB of commands") {
            let answer = try fixture.site.http.send(
                "POST", "/git/\(fixture.repository).git/git-receive-pack",
                headers: [Site.authorization, Self.pushType],
                body: .chunks(Array(repeating: chunk, count: (65 << 20) / chunk.count)))
            #expect(answer.status == 413, "\(answer.start) \(answer.text)")
        }
    }

    // MARK: Packs

    @Test func cutBodyPublishesNothingAndLeavesNothing() throws {
        let fixture = try Fixture()
        let bytes = fixture.goodPush.bytes
        let path = "/git/\(fixture.repository).git/git-receive-pack"
        let cuts = [10, bytes.count - fixture.pack.count, bytes.count - 30, bytes.count - 1]
        for cut in cuts {
            for isChunked in [false, true] {
                try fixture.expectUntouched("\(cut) bytes, chunked: \(isChunked)") {
                    let framing =
                        isChunked
                        ? ("Transfer-Encoding", "chunked")
                        : ("Content-Length", "\(bytes.count)")
                    let exchange = try HTTPExchange(
                        port: fixture.site.nginx.port, "POST", path,
                        headers: [Site.authorization, Self.pushType, framing])
                    let part = Array(bytes.prefix(cut))
                    if isChunked {
                        try exchange.sendChunk(part)
                    } else {
                        try exchange.send(part)
                    }
                    exchange.hangUp()
                    // There is nothing to check before the instance has noticed.
                    try wait(for: "the cut push to be logged") {
                        fixture.site.instance.log.contains("\(fixture.repository)")
                    }
                }
            }
            // Properly terminated, but shorter than it should be.
            try fixture.expectRefused(
                "a body that ends after \(cut) bytes", Array(bytes.prefix(cut)), [200, 400])
        }
    }

    @Test func flippedByteInAPackIsGitsToRefuse() throws {
        let fixture = try Fixture()
        for position in [0, 5, 11, 14, fixture.pack.count / 2, fixture.pack.count - 1] {
            var pack = fixture.pack
            pack[position] ^= 0x10
            try fixture.expectRefused(
                "a pack with byte \(position) flipped",
                fixture.push(
                    [.init(old: fixture.tip, new: fixture.next, "refs/heads/main")], pack: pack
                ).bytes, [200], says: "ng refs/heads/main ")
        }
        try fixture.expectRefused(
            "no pack at all",
            fixture.push(
                [.init(old: fixture.tip, new: fixture.next, "refs/heads/main")], pack: []
            ).bytes, [200, 400])
    }

    /// Whether git notices depends on how the bytes arrive.
    @Test func garbageBehindThePackIsRefusedOrDroppedButNeverStored() throws {
        let fixture = try Fixture()
        let answer = try fixture.post(fixture.goodPush.bytes + Array("garbage".utf8))
        #expect(answer.status == 200)
        if !answer.text.contains("ok refs/heads/main\n") {
            #expect(answer.text.contains("ng refs/heads/main "))
            try fixture.tree.git("reset", "-q", "--hard", fixture.tip)
        }
        try expectServed(fixture.site, fixture.repository, equals: fixture.tree)
    }

    @Test func packThatLacksObjectsIsRefused() throws {
        let fixture = try Fixture()
        let tree = fixture.tree
        let blob = try tree.git("rev-parse", "HEAD:next")
        let root = try tree.git("rev-parse", "HEAD^{tree}")
        for missing in [[fixture.next, root], [fixture.next, blob], [root, blob]] {
            let list = Array(missing.joined(separator: "\n").utf8)
            let pack = try tree.client.run(
                ["pack-objects", "--stdout", "-q"], in: tree.path, input: .bytes(list)
            ).checked().output
            try fixture.expectRefused(
                "a pack of \(missing)",
                fixture.push(
                    [.init(old: fixture.tip, new: fixture.next, "refs/heads/main")], pack: pack
                ).bytes, [200], says: "ng refs/heads/main ")
        }
        // A branch with an unrelated history.
        let stranger = try WorkTree.make()
        try stranger.commit("a")
        let last = try stranger.commit("b")
        let pack = try stranger.pack([last, "^\(last)~1"])
        try fixture.expectRefused(
            "a commit without its parent",
            fixture.push([.init(old: nil, new: last, "refs/heads/x")], pack: pack).bytes,
            [200], says: "ng refs/heads/x ")
    }

    @Test func objectThatFsckCondemnsIsRefused() throws {
        let fixture = try Fixture()
        let tree = fixture.tree
        let blob = try tree.git("rev-parse", "HEAD:next")
        let bad = [".git", ".GIT", "..", ".", "git~1", "a/b"]
        for name in bad {
            let id = stride(from: 0, to: 40, by: 2).compactMap { offset in
                UInt8(blob.dropFirst(offset).prefix(2), radix: 16)
            }
            let entry = Array("100644 \(name)".utf8) + [0] + id
            let root = try tree.client.run(
                ["hash-object", "-t", "tree", "-w", "--stdin", "--literally"], in: tree.path,
                input: .bytes(entry)
            ).checked().text.prefix(40)
            let commit = try tree.git(
                "commit-tree", "-p", fixture.tip, "-m", "bad", String(root))
            let list = Array("\(commit)\n\(root)\n\(blob)\n".utf8)
            let pack = try tree.client.run(
                ["pack-objects", "--stdout", "-q"], in: tree.path, input: .bytes(list)
            ).checked().output
            try fixture.expectRefused(
                "a tree with '\(name)'",
                fixture.push(
                    [.init(old: fixture.tip, new: commit, "refs/heads/main")], pack: pack
                )
                .bytes, [200], says: "ng refs/heads/main ")
        }
    }

    @Test func thinPackWithoutItsBaseIsRefused() throws {
        let fixture = try Fixture()
        let tree = fixture.tree
        let long = (0..<400).map { "line \($0) \(Hex.random(bytes: 8))" }
        let base = try tree.commit("long", long.joined(separator: "\n"))
        let tip = try tree.commit("long", (long + ["one more"]).joined(separator: "\n"))
        let thin = try tree.client.run(
            ["pack-objects", "--revs", "--thin", "--stdout", "-q"], in: tree.path,
            input: .bytes(Array("\(tip)\n^\(base)\n".utf8))
        ).checked().output
        #expect(thin.count < 4000)
        try fixture.expectRefused(
            "a thin pack",
            fixture.push([.init(old: nil, new: tip, "refs/heads/x")], pack: thin).bytes,
            [200], says: "ng refs/heads/x ")
    }

    @Test func bodyThatIsLongerThanAnnouncedIsTakenAsAnnounced() throws {
        let fixture = try Fixture()
        let bytes = fixture.goodPush.bytes
        let exchange = try HTTPExchange(
            port: fixture.site.nginx.port, "POST",
            "/git/\(fixture.repository).git/git-receive-pack",
            headers: [
                Site.authorization, Self.pushType, ("Content-Length", "\(bytes.count - 20)"),
            ])
        try fixture.expectUntouched("a body longer than announced") {
            try exchange.send(bytes)
            let answer = try exchange.response()
            #expect([200, 400].contains(answer.status))
            #expect(!answer.text.contains("ok refs/"), "\(answer.text)")
        }
    }

    @Test func invalidAndRepeatedLengthsAreRefused() throws {
        let fixture = try Fixture()
        let framings: [[(name: String, value: String)]] = [
            [("Content-Length", "-1")], [("Content-Length", "+5")], [("Content-Length", "x")],
            [("Content-Length", "99999999999999999999999")],
            [("Content-Length", "5"), ("Content-Length", "6")],
            [("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
            [("Transfer-Encoding", "gzip, chunked")], [("Transfer-Encoding", "x")],
        ]
        try fixture.expectUntouched("odd lengths") {
            for framing in framings {
                let exchange = try HTTPExchange(
                    port: fixture.site.nginx.port, "POST",
                    "/git/\(fixture.repository).git/git-receive-pack",
                    headers: [Site.authorization, Self.pushType] + framing)
                let answer = try exchange.response()
                #expect([400, 411, 413, 501].contains(answer.status), "\(framing)")
            }
        }
    }
}
