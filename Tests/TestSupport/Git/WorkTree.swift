import Bytes
import Posix

/// A repository on the client's side, with the git that works in it.
package final class WorkTree: Sendable {
    package let client: GitClient
    /// The repository's directory.
    package let path: String
    private let directory: TemporaryDirectory

    private init(_ client: GitClient, _ directory: TemporaryDirectory) {
        self.client = client
        self.directory = directory
        path = directory.path + "/work"
    }

    /// A new repository on branch `main`.
    ///
    /// - Parameter remote: the URL of `origin`.
    package static func make(
        remote: String? = nil, format: String = "sha1", branch: String = "main"
    ) throws -> WorkTree {
        let tree = WorkTree(try GitClient(), try TemporaryDirectory())
        try tree.client.git(
            "init", "-q", "--object-format=\(format)", "--initial-branch=\(branch)", tree.path)
        if let remote { try tree.git("remote", "add", "origin", remote) }
        return tree
    }

    /// A clone, which must succeed.
    package static func clone(_ url: String, _ options: String...) throws -> WorkTree {
        let (tree, result) = try attemptClone(url, options)
        try result.checked()
        return tree
    }

    /// A clone that may fail.
    package static func attemptClone(
        _ url: String, _ options: [String]
    ) throws -> (WorkTree, CommandResult) {
        let tree = WorkTree(try GitClient(), try TemporaryDirectory())
        let result = try tree.client.run(["clone"] + options + [url, tree.path])
        return (tree, result)
    }

    /// A clone that may fail, with what the client sent and received.
    package static func tracedClone(
        _ url: String, _ options: [String]
    ) throws -> (WorkTree, TracedRun) {
        let tree = WorkTree(try GitClient(), try TemporaryDirectory())
        return (tree, try tree.client.traced(["clone"] + options + [url, tree.path]))
    }

    /// Runs git in the repository; it must succeed.
    @discardableResult
    package func git(
        _ arguments: String..., input: Command.Input = .nothing
    ) throws -> String {
        try client.run(arguments, in: path, input: input).checked().line
    }

    /// Runs git in the repository, however it ends.
    package func attempt(_ arguments: String...) throws -> CommandResult {
        try client.run(arguments, in: path)
    }

    /// Writes a file and commits it.
    ///
    /// - Returns: the commit's id.
    @discardableResult
    package func commit(_ file: String, _ content: String = Hex.random()) throws -> String {
        try commit(file, bytes: Array("\(content)\n".utf8))
    }

    /// Writes a file and commits it.
    @discardableResult
    package func commit(_ file: String, bytes: [UInt8]) throws -> String {
        try Files.write(bytes, to: "\(path)/\(file)")
        try git("add", "--", file)
        try git("commit", "-q", "-m", "change \(file)")
        return try git("rev-parse", "HEAD")
    }

    /// All refs but those of remotes, as bytes: `<id>\t<name>\n`, sorted by name.
    package func refs() throws -> [UInt8] {
        let all = try client.run(
            ["for-each-ref", "--format=%(objectname)%09%(refname)"], in: path
        ).checked().output
        let remote = Array("\trefs/remotes/".utf8)
        return all.split(separator: UInt8(ascii: "\n"))
            .filter { !$0.contains(remote) }
            .flatMap { $0 + [UInt8(ascii: "\n")] }
    }

    /// Every object of the repository, with its type and size.
    package func objects() throws -> [UInt8] {
        try client.run(
            ["cat-file", "--batch-all-objects", "--batch-check", "--unordered"], in: path
        ).checked().text.split(separator: "\n").sorted().joined(separator: "\n").utf8.map { $0 }
    }
}
