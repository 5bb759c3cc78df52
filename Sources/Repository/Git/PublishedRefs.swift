import GitProtocol
import Posix

/// The refs of a workspace, as git reads them.
struct PublishedRefs {
    private(set) var ids: [RefName: ObjectID]
    /// Annotated tag ref → what it fully peels to.
    private(set) var peeled: [RefName: ObjectID]

    init(ids: [RefName: ObjectID] = [:], peeled: [RefName: ObjectID] = [:]) {
        self.ids = ids
        self.peeled = peeled
    }

    /// Reads all refs with `git show-ref --dereference`, which peels fully; `for-each-ref` peels
    /// one level.
    static func read(
        from workspace: borrowing Workspace, git: GitProgram
    ) throws(RepositoryError) -> PublishedRefs {
        let step = "read refs"
        let result = try git.run(["show-ref", "--dereference"], in: workspace, step: step)
        // 1: there are none.
        let isEmpty = result.ending == .exited(1) && result.output.isEmpty
        guard isEmpty || result.ending == .exited(0) else {
            throw .git(step: step, reason: "\(result.ending): \(workspace.gitErrors())")
        }
        return try PublishedRefs(parsing: result.output)
    }

    init(parsing output: [UInt8]) throws(RepositoryError) {
        self.init()
        let peelMark = Array("^{}".utf8)
        for line in output.split(separator: UInt8(ascii: "\n")) {
            guard let space = line.firstIndex(of: UInt8(ascii: " ")),
                let id = ObjectID(line[..<space])
            else { throw .git(step: "read refs", reason: "a line that is no ref") }
            let name = line[(space + 1)...]
            if name.suffix(3).elementsEqual(peelMark), let tag = RefName(name.dropLast(3)) {
                peeled[tag] = id
            } else if let ref = RefName(name) {
                ids[ref] = id
            } else {
                throw .unproven("'\(String(decoding: name, as: UTF8.self))' is no safe ref name")
            }
        }
    }
}
