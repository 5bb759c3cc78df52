import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// Refusing one ref does not refuse the others, unless the push is atomic: N3.
    @Suite struct RefusedRefTests {
        private static let notUTF8 = Array("refs/heads/caf".utf8) + [0xe9]
        /// Six components of 200 bytes.
        private static let long: [UInt8] = {
            let parts = Array(repeating: String(repeating: "a", count: 200), count: 6)
            return Array("refs/heads/\(parts.joined(separator: "/"))".utf8)
        }()

        /// Creates a ref with any bytes in its name.
        private func make(_ name: [UInt8], at id: String, in tree: WorkTree) throws {
            try tree.git(
                "update-ref", "--stdin", "-z",
                input: .bytes(Array("create ".utf8) + name + [0] + Array(id.utf8) + [0]))
        }

        private static let badNames = [
            (notUTF8, "refname is not valid UTF-8"), (long, "refname is longer than 1024 bytes"),
        ]

        @Test(arguments: fronts)
        func namesThatGitTakesAreRefusedAloneByTheRealClient(front: Front) throws {
            let (site, reference) = (try front.shared(), try HTTPBackendSite.shared())
            for (name, reason) in Self.badNames {
                let (theirs, theirTree) = try seeded(reference)
                try make(name, at: "HEAD", in: theirTree)
                try theirTree.git("push", "-q", "origin", "refs/heads/*:refs/heads/*")
                #expect(
                    try theirTree.client.run(
                        ["ls-remote", reference.anonymousURL(theirs)]
                    ).checked().output.contains(name))

                let (repository, tree) = try seeded(site)
                let tip = try tree.commit("next")
                try tree.git("branch", "good")
                try make(name, at: tip, in: tree)
                let atomic = try tree.attempt(
                    "push", "--atomic", "origin", "refs/heads/*:refs/heads/*")
                #expect(!atomic.succeeded, "\(atomic)")
                #expect(atomic.errors.contains(reason), "\(atomic)")
                #expect(atomic.errors.contains("good -> good (atomic push failure)"), "\(atomic)")
                #expect(try !tree.git("ls-remote", site.anonymousURL(repository)).contains(tip))

                let push = try tree.attempt("push", "origin", "refs/heads/*:refs/heads/*")
                #expect(!push.succeeded, "\(push)")
                #expect(push.errors.contains(reason), "\(push)")
                #expect(push.errors.contains("good -> good\n"), "\(push)")
                try tree.git(
                    "update-ref", "--stdin", "-z",
                    input: .bytes(Array("delete ".utf8) + name + [0] + [0]))
                try expectServed(site, repository, equals: tree)
            }
        }

        @Test(arguments: fronts)
        func funnyNamesAreRefusedAloneAsByGit(front: Front) throws {
            let (site, reference) = (try front.shared(), try HTTPBackendSite.shared())
            func answers(_ host: any GitHost) throws -> [String] {
                let (repository, tree) = try seeded(host)
                let tip = try tree.git("rev-parse", "HEAD")
                var answers: [String] = []
                for (number, name) in ["refs/heads/a..b", "refs/heads/a.lock", "x"].enumerated() {
                    for capabilities in ["report-status atomic", "report-status"] {
                        let body = PushBody(
                            [
                                .init(old: nil, new: tip, "refs/heads/\(number)a"),
                                .init(old: nil, new: tip, name),
                                .init(old: nil, new: tip, "refs/heads/\(number)b"),
                            ], capabilities: capabilities, pack: PushBody.emptyPack)
                        let answer = try host.push(to: repository, body)
                        answers.append("\(answer.status) \(answer.text)")
                    }
                    let alone = PushBody(
                        [.init(old: nil, new: tip, name)], capabilities: "report-status",
                        pack: PushBody.emptyPack)
                    answers.append(try host.push(to: repository, alone).text)
                }
                let refs = try tree.git("ls-remote", host.anonymousURL(repository))
                return answers + [refs.replacing(tip, with: "TIP")]
            }
            let (theirs, ours) = (try answers(reference), try answers(site))
            #expect(ours == theirs)
            #expect(ours.last?.contains("refs/heads/2b") == true)
        }

        @Test(arguments: stores)
        func everyKindOfRefusalLeavesTheOtherRefs(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            let tip = try tree.git("rev-parse", "HEAD")
            let next = try tree.commit("next")
            try tree.git(
                "push", "-q", "origin", "main", "\(tip):refs/heads/old",
                "\(tip):refs/heads/stale")
            let last = try tree.commit("last")
            let commands: [PushBody.Command] = [
                .init(old: next, new: last, "refs/heads/main"),
                .init(old: nil, new: last, Self.notUTF8),
                .init(old: tip, new: nil, "refs/heads/old"),
                .init(old: next, new: nil, "refs/heads/stale"),
                .init(old: nil, new: last, Self.long),
                .init(old: nil, new: last, "refs/heads/a..b"),
                .init(old: nil, new: last, "refs/heads/twice"),
                .init(old: nil, new: last, "refs/heads/new"),
                .init(old: nil, new: last, "refs/heads/twice"),
                .init(old: next, new: last, "refs/heads/moved"),
            ]
            let pack = try tree.pack([last, "^\(next)"])
            func lines(_ answer: HTTPMessage) -> [[UInt8]] {
                var rest = answer.body[...]
                var lines: [[UInt8]] = []
                while let length = Int(String(decoding: rest.prefix(4), as: UTF8.self), radix: 16),
                    length > 4
                {
                    lines.append(Array(rest.dropFirst(4).prefix(length - 5)))
                    rest = rest.dropFirst(length)
                }
                return lines
            }
            func expected(_ outcomes: [String]) -> [[UInt8]] {
                [Array("unpack ok".utf8)]
                    + zip(commands, outcomes).map { command, outcome in
                        outcome == "ok"
                            ? Array("ok ".utf8) + command.name
                            : Array("ng ".utf8) + command.name + Array(" \(outcome)".utf8)
                    }
            }
            let refusals = [
                "ok", "refname is not valid UTF-8", "ok", "stale info",
                "refname is longer than 1024 bytes", "funny refname",
                "multiple updates for one ref", "ok", "multiple updates for one ref",
                "failed to update ref",
            ]
            let before = try tree.git("ls-remote", site.anonymousURL(repository))
            let atomic = try site.push(
                to: repository,
                PushBody(commands, capabilities: "report-status atomic", pack: pack))
            let all = refusals.map {
                ["ok", "failed to update ref"].contains($0) ? "atomic push failure" : $0
            }
            #expect(lines(atomic) == expected(all), "\(atomic.text)")
            #expect(try tree.git("ls-remote", site.anonymousURL(repository)) == before)

            // Without a report the client cannot learn which ref was refused.
            let silent = try site.push(
                to: repository, PushBody(commands, capabilities: "", pack: pack))
            #expect(silent.status == 403, "\(silent.text)")
            #expect(try tree.git("ls-remote", site.anonymousURL(repository)) == before)

            let answer = try site.push(
                to: repository, PushBody(commands, capabilities: "report-status", pack: pack))
            #expect(lines(answer) == expected(refusals), "\(answer.text)")
            try tree.git("update-ref", "refs/heads/stale", tip)
            try tree.git("update-ref", "refs/heads/new", last)
            try expectServed(site, repository, equals: tree)
        }

        @Test func fullyRefusedPushIsReadToItsEndAndReported() throws {
            let site = try Site.shared(.file)
            let (repository, tree) = try seeded(site)
            let tip = try tree.git("rev-parse", "HEAD")
            let body = PushBody(
                [.init(old: nil, new: tip, Self.notUTF8), .init(old: nil, new: tip, Self.long)],
                capabilities: "report-status", pack: Array(repeating: 0x50, count: 3 << 20))
            let answer = try site.push(to: repository, body)
            #expect(answer.status == 200)
            #expect(answer.text.contains("unpack ok"), "\(answer.text)")
            #expect(answer.body.contains(Self.long + Array(" refname is longer".utf8)))
            try expectServed(site, repository, equals: tree)
        }
    }
}
