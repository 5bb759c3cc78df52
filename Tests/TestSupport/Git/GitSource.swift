import Bytes
import Posix

/// A real git repository that tests take commits, tags and packs from.
package final class GitSource: Sendable {
    package let path: String
    private let scratch: TemporaryDirectory

    /// - Parameter format: git's name of the object format.
    package init(format: String = "sha1") throws {
        scratch = try TemporaryDirectory()
        path = scratch.path + "/source.git"
        try Command.runGit(["init", "-q", "--bare", "--object-format=\(format)", path])
    }

    @discardableResult
    package func run(_ arguments: [String], input: [UInt8] = []) throws -> CommandResult {
        try Command.runGit(arguments, in: path, input: input)
    }

    /// Makes a commit with one file.
    package func commit(_ content: String, parent: String? = nil) throws -> String {
        let blob = try run(["hash-object", "-w", "--stdin"], input: Array(content.utf8)).line
        let tree = try run(["mktree"], input: Array("100644 blob \(blob)\tfile\n".utf8)).line
        return try run(
            ["commit-tree", tree, "-m", content] + (parent.map { ["-p", $0] } ?? [])
        ).line
    }

    /// Makes an annotated tag of any object.
    package func tag(_ name: String, of object: String) throws -> String {
        let type = try run(["cat-file", "-t", object]).line
        let text =
            "object \(object)\ntype \(type)\ntag \(name)\ntagger T <t@example.com> 1700000000 +0000\n\n\(name)\n"
        return try run(["mktag"], input: Array(text.utf8)).line
    }

    /// The pack of what `wants` reach and `haves` do not, as send-pack makes it.
    package func pack(_ wants: [String], without haves: [String] = []) throws -> [UInt8] {
        let revisions = wants.map { "\($0)\n" } + haves.map { "^\($0)\n" }
        return try run(
            ["pack-objects", "--revs", "--stdout", "--thin", "--delta-base-offset", "-q"],
            input: Array(revisions.joined().utf8)
        ).output
    }

    /// A pack that is whole in itself, with its index.
    package func indexedPack(_ wants: [String]) throws -> (pack: [UInt8], index: [UInt8]) {
        let base = scratch.path + "/pack-" + Hex.random(bytes: 4)
        let revisions = wants.map { "\($0)\n" }.joined()
        let bytes = try run(
            ["pack-objects", "--revs", "--stdout", "-q"], input: Array(revisions.utf8)
        ).output
        try Files.write(bytes, to: base + ".pack")
        try run(["index-pack", base + ".pack"])
        return (bytes, try Files.read(base + ".idx"))
    }
}
