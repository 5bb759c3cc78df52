package import GitProtocol
import Posix

/// The refs of a workspace, as git reads them.
package struct WorkspaceRefs {
    package private(set) var ids: [RefName: ObjectID]
    /// Annotated tag ref → the object that it fully peels to.
    package private(set) var peeled: [RefName: ObjectID]

    init(ids: [RefName: ObjectID] = [:], peeled: [RefName: ObjectID] = [:]) {
        self.ids = ids
        self.peeled = peeled
    }

    private static let step = "read refs"

    /// Reads all refs, and the objects that they fully peel to.
    ///
    /// `show-ref` fails at the first ref that points to a missing object, and omits all others. So
    /// the refs are listed without reading their objects, and then those that need it are peeled.
    /// Branches do not peel, since git accepts only commits for them.
    ///
    /// - Parameter known: a state that is part of the workspace, such as the one that it was
    ///   hydrated from. A ref with the same value peels to the same object, and may point to a
    ///   missing one; no other ref may.
    package static func read(
        from workspace: borrowing Workspace, git: GitProgram, limits: GitLimits,
        knowing known: PackedRefs? = nil
    ) throws -> WorkspaceRefs {
        let listing = try git.output(
            GitRun(
                ["for-each-ref", "--format=%(objectname) %(refname)"], to: step, limits: limits),
            in: workspace)
        try listing.ending.require()
        var refs = try WorkspaceRefs(parsing: listing.bytes)
        refs.takePeeled(of: known)
        try refs.peel(in: workspace, git: git, limits, knowing: known)
        return refs
    }

    /// Parses lines of an id and a name.
    init(parsing output: [UInt8]) throws {
        self.init()
        for line in output.split(separator: UInt8(ascii: "\n")) {
            guard let space = line.firstIndex(of: UInt8(ascii: " ")),
                let id = ObjectID(line[..<space])
            else {
                throw GitError.failed(
                    step: Self.step, reason: "an invalid line in the list of refs")
            }
            let name = line[(space + 1)...]
            guard let ref = RefName(name) else {
                throw GitError.unsafeRef(String(decoding: name, as: UTF8.self))
            }
            ids[ref] = id
        }
    }

    /// Adds a ref.
    package mutating func put(_ name: RefName, _ id: ObjectID, peeled target: ObjectID?) {
        ids[name] = id
        peeled[name] = target
    }

    private mutating func takePeeled(of known: PackedRefs?) {
        guard let known, let targets = known.peeled else { return }
        peeled = targets.filter { known.refs[$0.key] == ids[$0.key] }
    }

    /// Whether a ref has the same value as in a state.
    private func isUnchanged(_ name: RefName, since known: PackedRefs?) -> Bool {
        known.map { $0.refs[name] == ids[name] } ?? false
    }

    private mutating func peel(
        in workspace: borrowing Workspace, git: GitProgram, _ limits: GitLimits,
        knowing known: PackedRefs?
    ) throws {
        let unknown = ids.filter { name, _ in
            !name.isBranch && (known?.peeled == nil || !isUnchanged(name, since: known))
        }
        if unknown.isEmpty { return }
        let targets = try Self.targets(of: Set(unknown.values), in: workspace, git: git, limits)
        for (name, id) in unknown {
            if let target = targets[id] {
                peeled[name] = target == id ? nil : target
            } else if !isUnchanged(name, since: known) {
                throw GitError.failed(
                    step: Self.step, reason: "'\(name)' points to \(id), which lacks an object")
            }
        }
    }

    /// The objects that others fully peel to, which are those themselves unless they are tags.
    /// Missing objects, and those with missing targets, are omitted.
    private static func targets(
        of ids: Set<ObjectID>, in workspace: borrowing Workspace, git: GitProgram,
        _ limits: GitLimits
    ) throws -> [ObjectID: ObjectID] {
        let asked = Array(ids)
        let input = Array(asked.map { "\($0)^{}\n" }.joined().utf8)
        let result = try git.output(
            GitRun(
                ["cat-file", "--batch-check=%(objectname)"], to: step, limits: limits,
                input: .bytes(input)),
            in: workspace)
        let lines = result.lines
        guard result.ending.succeeded, lines.count == asked.count else {
            throw result.ending.failure
        }
        var targets: [ObjectID: ObjectID] = [:]
        for (id, line) in zip(asked, lines) {
            if let target = ObjectID(line) {
                targets[id] = target
            } else if !line.elementsEqual("\(id)^{} missing".utf8) {
                throw GitError.failed(step: step, reason: "an unexpected line about an object")
            }
        }
        return targets
    }
}
