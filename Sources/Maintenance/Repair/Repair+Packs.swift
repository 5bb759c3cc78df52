import Bytes
import Cache
import Git
import GitProtocol
import Glibc
import Hydration
import ObjectStore
import Posix
import Repository

extension Repair {
    /// Checks a pack and the objects derived from it. Afterwards a good pack, read or from a copy,
    /// is in the workspace, with an index.
    ///
    /// - Returns: false if no good copy of the pack was found.
    func checkPack(
        _ digest: Digest, of manifest: Manifest, in workspace: borrowing Workspace,
        _ outcome: inout RepairOutcome
    ) throws -> Bool {
        let key = ObjectKey.pack(digest)
        let base = "\(workspace.packDirectory)/pack-\(digest.hex)"
        progress.begin("reading '\(key)'")
        outcome.objects += 1
        let condition = try look(at: key, digest, into: .file(base + ".pack"))
        if let fault = condition.fault {
            _ = unlink(base + ".pack")
            guard let copy = try placeCopy(of: digest, at: base + ".pack") else {
                note(.init(key: key, fault, .none(reason: Self.noCopy)), &outcome)
                return false
            }
            let remedy = try rewrite(.pack(copy.body), at: key, digest, condition, from: copy.path)
            note(.init(key: key, fault, remedy), &outcome)
        }
        guard try checkIndex(digest, base, manifest.objectFormat, in: workspace, &outcome) else {
            // Without an index git would complain about the pack in each later step.
            _ = unlink(base + ".pack")
            return true
        }
        try checkSidecars(digest, base, manifest, in: workspace, &outcome)
        return true
    }

    /// Links a good copy of a pack into the workspace, where nobody removes it, and hashes it
    /// there.
    ///
    /// - Returns: nil if there is none.
    private func placeCopy(
        of digest: Digest, at target: String
    ) throws -> (path: String, body: ObjectBody)? {
        // The first one may be evicted from the cache while it is checked.
        for _ in 0..<2 {
            guard let path = copies.copy(of: digest, .pack, progress: progress) else { return nil }
            do throws(SystemError) {
                try FileLink.system.place(path, at: target)
            } catch {
                if error.code == ENOENT { continue }
                throw error
            }
            let body = try ObjectBody.file(hashing: target)
            if body.digest == digest { return (path, body) }
            unlink(target)
        }
        return nil
    }
}

// MARK: Derived objects

extension Repair {
    /// Checks a pack's index, and lets git rebuild it from the good pack at `base`.
    ///
    /// - Returns: whether the pack has an index now, at least in the workspace.
    private func checkIndex(
        _ digest: Digest, _ base: String, _ format: ObjectFormat, in workspace: borrowing Workspace,
        _ outcome: inout RepairOutcome
    ) throws -> Bool {
        let key = ObjectKey.packIndex(digest)
        outcome.objects += 1
        guard
            let fault = try derivedFault(
                key, at: base + ".idx", "it does not belong to its pack",
                isGood: {
                    try PackIndex.isGood(base + ".idx", forPack: base + ".pack", format: format)
                })
        else { return true }

        _ = unlink(base + ".idx")
        progress.begin("indexing '\(ObjectKey.pack(digest))'")
        let ending = try hydration.git.output(
            GitRun(
                ["index-pack", "--object-format=\(format.rawValue)", base + ".pack"],
                to: "index a pack", limits: .none),
            in: workspace
        ).ending
        guard ending.succeeded else {
            let reason = "git cannot index the pack: \(ending.words.text)"
            note(.init(key: key, fault, .none(reason: reason)), &outcome)
            return false
        }
        let remedy = try store(.packIndex(of: digest, .file(hashing: base + ".idx")))
        note(.init(key: key, fault, remedy), &outcome)
        return true
    }

    /// Checks the bitmap and the commit graph of a pack, if it has them. A damaged one is rebuilt
    /// if the refs end in this pack; git does not need it.
    private func checkSidecars(
        _ digest: Digest, _ base: String, _ manifest: Manifest, in workspace: borrowing Workspace,
        _ outcome: inout RepairOutcome
    ) throws {
        let format = manifest.objectFormat
        for sidecar in PackSidecar.allCases {
            let key = sidecar.key(of: digest)
            let path = workspace.path + "/sidecar"
            defer { unlink(path) }

            let fault = try derivedFault(
                key, at: path, "it does not belong to its pack",
                isGood: {
                    try sidecar.isUsable(path, forIndex: base + ".idx", format: format)
                })
            // A pack without one is normal.
            guard case .damaged? = fault, let fault else { continue }
            outcome.objects += 1
            let remedy: RepairFinding.Remedy
            do {
                remedy = try remake(sidecar, digest, base, manifest)
            } catch  where error is GitError || error is SystemError {
                remedy = .none(reason: "\(error)")
            }
            note(.init(key: key, fault, remedy, isNeeded: false), &outcome)
        }
    }

    private func remake(
        _ sidecar: PackSidecar, _ pack: Digest, _ base: String, _ manifest: Manifest
    ) throws -> RepairFinding.Remedy {
        progress.begin("making '\(sidecar.key(of: pack))'")
        let tips = Set(manifest.refs.values).union((manifest.peeled ?? [:]).values)
        let maker = SidecarMaker(git: hydration.git, state: hydration.state)
        guard
            let made = try maker.make(forPack: base, tips: tips, format: manifest.objectFormat)
        else { return .none(reason: "no ref points into its pack; it is not needed") }
        switch sidecar {
        case .bitmap: return try store(.packBitmap(of: pack, made.bitmap))
        case .commitGraph: return try store(.commitGraph(of: pack, made.graph))
        }
    }

    /// Reads a derived object into a file.
    ///
    /// - Returns: nil if it is good.
    private func derivedFault(
        _ key: ObjectKey, at path: String, _ reason: String,
        isGood: () throws -> Bool
    ) throws -> RepairFinding.Fault? {
        progress.begin("reading '\(key)'")
        let found = try store.download([Download(key: key, digest: nil, path: path)])
        guard found == [true] else { return .missing }
        let isGood = try isGood()
        return isGood ? nil : .damaged(reason: reason)
    }

    /// Stores a derived object, unconditionally as always, and reads it again.
    private func store(_ write: ObjectWrite) throws -> RepairFinding.Remedy {
        if mode == .check { return .repairable(from: nil) }
        try store.write([write])
        switch try look(at: write.key, write.body.digest, into: .nowhere) {
        case .good: return .repaired(from: nil)
        case .missing, .damaged: return .none(reason: "the stored bytes differ from the bytes sent")
        }
    }
}
