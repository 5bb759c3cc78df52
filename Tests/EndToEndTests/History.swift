import Synchronization
import TestSupport

/// A small history with an example of everything, and with the same ids each time.
///
/// `main` has eight commits, a day apart, and `topic` leaves it after the fourth. Every commit
/// changes `small` and adds a file below `dir/`; `big`, of 2 KB, changes with the fifth. Tags: `v1`
/// (annotated, at the second commit), `nested` (of `v1`), `light` (at the fifth), `blob` (of one).
/// `refs/changes/1` is a ref of no kind that git knows.
final class History: Sendable {
    static let shared = Result { try History() }

    let tree: WorkTree
    /// The repositories to which it has been published, by the server's port.
    private let places = Mutex<[UInt16: String]>([:])

    /// The time of commit `number` of `main`, in seconds: earlier than the commits of ``WorkTree``.
    static func time(_ number: Int) -> Int { 1_699_000_000 + number * 86_400 }

    private init() throws {
        tree = try WorkTree.make()
        var stream = (1...8).map { Self.commit($0, on: "main", from: nil) }.joined()
        stream += Self.commit(9, on: "topic", from: ":4")
        try tree.git("fast-import", "--quiet", input: .bytes(Array(stream.utf8)))
        try tree.git("reset", "-q", "--hard")
        try tree.git("tag", "-a", "-m", "one", "v1", "main~6")
        try tree.git("tag", "-a", "-m", "a tag's", "nested", "v1")
        try tree.git("tag", "light", "main~3")
        try tree.git("tag", "blob", "main:big")
        try tree.git("update-ref", "refs/changes/1", "topic")
    }

    /// Pushes the whole history to a new repository.
    func publish(to host: any GitHost) throws -> String {
        let repository = try host.create()
        try tree.git("push", "-q", "--mirror", host.url(repository))
        return repository
    }

    /// A repository with the whole history, for tests that change nothing.
    func published(on host: any GitHost) throws -> String {
        try places.withLock { places in
            if let repository = places[host.port] { return repository }
            let repository = try publish(to: host)
            places[host.port] = repository
            return repository
        }
    }

    /// One commit for git-fast-import(1).
    private static func commit(_ number: Int, on branch: String, from parent: String?) -> String {
        var files = [
            ("small", "\(number)\n"), ("dir/sub/file-\(number)", "file \(number)\n"),
        ]
        if number == 1 { files.append((".sparse", "/dir/\n")) }
        if number == 1 || number == 5 {
            files.append(("big", String(repeating: "line of \(number)\n", count: 200)))
        }
        var text = "commit refs/heads/\(branch)\nmark :\(number)\n"
        text += "committer Test <test@example.org> \(time(number)) +0000\n"
        text += "data 8\ncommit \(number)\n"
        if let parent { text += "from \(parent)\n" }
        for (path, content) in files {
            text += "M 100644 inline \(path)\ndata \(content.utf8.count)\n\(content)\n"
        }
        return text + "\n"
    }
}
