import TestSupport
import Testing

/// All of these suites drive the built program with real clients. They share servers and two cores,
/// so one test runs at a time.
@Suite(.serialized, .timeLimit(.minutes(10)), .tags(.slow))
enum EndToEnd {}

/// Shorthand for all stores.
let stores = StoreUnderTest.allCases

/// Expects that a fresh clone passes fsck, and that the served branches and tags, with their peeled
/// values, equal those of `source` byte for byte.
func expectServed(
    _ site: any GitHost, _ repository: String, equals source: WorkTree,
    sourceLocation: SourceLocation = #_sourceLocation
) throws {
    let url = site.anonymousURL(repository)
    let expected = try source.refs()
    let served = try source.client.run(["ls-remote", "--refs", url]).checked().output
    #expect(
        served == expected, "\(text(served)) is not \(text(expected))",
        sourceLocation: sourceLocation)

    let copy = try WorkTree.clone(url, "-q", "--mirror")
    let fsck = try copy.attempt("fsck", "--full", "--strict", "--no-dangling")
    #expect(fsck.succeeded, "\(fsck)", sourceLocation: sourceLocation)
    #expect(try copy.refs() == expected, sourceLocation: sourceLocation)

    for version in 0...2 {
        let remote = try source.client.run(
            ["-c", "protocol.version=\(version)", "ls-remote", "--heads", "--tags", url]
        ).checked().text
        let local = try source.client.run(
            ["ls-remote", "--heads", "--tags", source.path]
        ).checked().text
        #expect(
            Array(remote.utf8) == Array(local.utf8), "by protocol \(version)",
            sourceLocation: sourceLocation)
    }
}

/// Bytes as text, for messages.
func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

/// A repository with one commit on `main`, and the tree that it was pushed from.
func seeded(_ site: any GitHost) throws -> (repository: String, tree: WorkTree) {
    let repository = try site.create()
    let tree = try WorkTree.make(remote: site.url(repository))
    try tree.commit("README", "first")
    try tree.git("push", "-q", "origin", "main")
    return (repository, tree)
}
