import GitProtocol
import ObjectStore
import TestSupport
import Testing

/// Objects of every kind that a ref can point to, in one pack that the generated repositories
/// share.
final class ObjectPool: Sendable {
    let format: ObjectFormat
    let commits: [String]
    /// All of them: commits, trees, blobs, and tags of each of these, of tags, and of tags of tags.
    let all: [String]
    let pack: [UInt8]
    let index: [UInt8]

    init(_ format: ObjectFormat) throws {
        let source = try GitSource(format: format.rawValue)
        var commits: [String] = []
        for number in 0..<4 {
            commits.append(try source.commit("\(number)", parent: commits.last))
        }
        let tree = try source.run(["rev-parse", "\(commits[0])^{tree}"]).line
        let blob = try source.run(["rev-parse", "\(commits[0]):file"]).line
        let plain = commits + [tree, blob]
        let tags = try [commits[0], commits[3], tree, blob].map { try source.tag("t", of: $0) }
        let second = try tags.map { try source.tag("of-tag", of: $0) }
        let third = try second.map { try source.tag("of-tag-of-tag", of: $0) }
        self.format = format
        self.commits = commits
        all = plain + tags + second + third
        (pack, index) = try source.indexedPack(all)
    }
}

/// The refs of a repository, generated from a seed.
struct GeneratedRefs {
    let head: RefName
    /// No name is a directory of another one.
    let refs: [RefName: ObjectID]
    /// The names, sorted.
    private let names: [RefName]

    private static let branches = [
        "main", "a", "a/b", "a-b", "a.b", "a0", "A", "\u{c4}", "\u{e9}", "e\u{301}",
        "\u{65e5}\u{672c}/\u{8a9e}", "\u{1f680}", "feature/#12", "v1.0+b", "z/\"q\"", "x{y", "$x",
        "x%20y", "HEAD", "refs/heads/main", String(repeating: "long/", count: 40) + "x",
    ]
    private static let others = [
        "refs/tags/v1", "refs/tags/v1.0", "refs/tags/v1-rc", "refs/tags/v2/x", "refs/tags/rel/1",
        "refs/tags/\u{fc}", "refs/tags/u\u{308}", "refs/tags/HEAD", "refs/tags/main", "refs/stash",
        "refs/notes/commits", "refs/pull/1/head", "refs/pull/12/head", "refs/changes/01/1/1",
        "refs/remotes/origin/main", "refs/bisect/bad", "refs/worktree/x", "refs/rewritten/y",
        "refs/headsx/y", "refs/head", "refs/HEAD", "refs/meta/config", "refs/tag",
    ]

    init(seed: UInt64, from pool: ObjectPool) throws {
        var random = SplitMix64(seed: seed)
        // A few repositories have no refs, most have some, two have thousands.
        let share = seed % 20 == 0 ? 0 : random.next() % 7
        var names: [String] = []
        func add(_ name: String) {
            let clashes = names.contains {
                $0 == name || $0.hasPrefix(name + "/") || name.hasPrefix($0 + "/")
            }
            if !clashes { names.append(name) }
        }
        for branch in Self.branches.shuffled(using: &random) where random.next() % 7 < share {
            add("refs/heads/" + branch)
        }
        for other in Self.others.shuffled(using: &random) where random.next() % 8 < share {
            add(other)
        }
        if seed % 160 == 7 {
            for number in 0..<3000 {
                names.append("refs/tags/many/\(random.next() % 97)/\(number)")
            }
        }

        var refs: [RefName: ObjectID] = [:]
        for name in names {
            let isBranch = name.hasPrefix("refs/heads/")
            let targets = isBranch ? pool.commits : pool.all
            let target = targets[Int(random.next() % UInt64(targets.count))]
            let id: ObjectID = try #require(ObjectID(Array(target.utf8)))
            refs[try #require(RefName(name))] = id
        }
        self.refs = refs
        self.names = refs.keys.sorted()
        let branch = Self.branches[Int(random.next() % UInt64(Self.branches.count))]
        let chosen = random.next() % 3 == 0 ? "unborn/\(branch)" : branch
        let existing = self.names.filter(\.isBranch)
        head =
            random.next() % 2 == 0 && !existing.isEmpty
            ? existing[Int(random.next() % UInt64(existing.count))]
            : try #require(RefName("refs/heads/" + chosen))
    }

    /// The bodies of protocol v2 requests for these refs, with arguments of every kind.
    func requests(
        _ count: Int, format: ObjectFormat, random: inout SplitMix64
    ) -> [[UInt8]] {
        (0..<count).map { number in
            var body: [UInt8] = []
            func line(_ bytes: [UInt8]) {
                PktLine.append(random.next() % 2 == 0 ? bytes + [0x0a] : bytes, to: &body)
            }
            line(Array("command=ls-refs".utf8))
            if random.next() % 2 == 0 { line(Array("agent=git/2.39.5".utf8)) }
            if format != .sha1 || random.next() % 3 > 0 {
                line(Array("object-format=\(format.rawValue)".utf8))
            }
            // Without arguments the delimiter may be missing, too.
            if number % 7 == 6 { return body + PktLine.flushBytes }
            body += Array("0001".utf8)
            var arguments = ["peel", "symrefs", "unborn"].filter { _ in random.next() % 3 > 0 }
                .map { Array($0.utf8) }
            for _ in 0..<[0, 0, 1, 2, 5, 300][Int(random.next() % 6)] {
                arguments.append(Array("ref-prefix ".utf8) + prefix(&random))
            }
            for argument in arguments.shuffled(using: &random) { line(argument) }
            return body + PktLine.flushBytes
        }
    }

    private static let prefixes = [
        "", "H", "HEAD", "HEADx", "r", "refs", "refs/", "refs/h", "refs/heads", "refs/heads/",
        "refs/heads//", "refs/heads/a", "refs/heads/a/", "refs/heads/e", "refs/heads/\u{e9}",
        "refs/tags/", "refs/tags/v", "refs/tags/v1", "refs/tags/many/1", "refs/pull/1", "main",
        "refs/heads/none", "/", "~",
    ]

    private func prefix(_ random: inout SplitMix64) -> [UInt8] {
        if random.next() % 3 == 0 {
            return Array(Self.prefixes[Int(random.next() % UInt64(Self.prefixes.count))].utf8)
        }
        guard let name = names.randomElement(using: &random) else { return [] }
        // Truncated anywhere, even inside a character.
        return Array(name.bytes.prefix(Int(random.next() % UInt64(name.bytes.count)) + 1))
    }
}
