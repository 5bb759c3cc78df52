import Bytes
import Glibc
import Posix

extension FileStore {
    func put(
        _ body: ObjectBody, at key: ObjectKey, _ condition: PutCondition
    ) throws(StoreError) -> StoreAnswer {
        let attempt = StoreError.Attempt(.put, key.path)
        if condition == .ifAbsent, try isPresent(key) { return .notStored(.conditionFailed) }

        let staged: StagedFile
        do {
            staged = try StagedFile(in: temporaries)
        } catch {
            throw .local(attempt, error)
        }
        try fill(staged, with: body, for: key)
        return try publish(staged, as: key, condition)
    }

    func delete(_ key: ObjectKey) throws(StoreError) -> StoreAnswer {
        let path = path(of: key)
        do {
            let lock = try KeyLock(of: key, in: locks)
            guard let status = try FileStatus(of: path) else {
                try checkRoot()
                return .absent
            }
            try lock.raiseFloor(past: status)
            try check("unlink", path) { unlink(path) }
            try Files.syncDirectory(directory(of: path))
            lock.release()
            return .deleted
        } catch {
            throw .local(.init(.delete, key.path), error)
        }
    }

    /// Whether an object already exists durably, so that a large body need not be copied first.
    private func isPresent(_ key: ObjectKey) throws(StoreError) -> Bool {
        let path = path(of: key)
        do {
            guard try FileStatus(of: path) != nil else { return false }
            try syncPlace(of: path)
            return true
        } catch {
            throw .local(.init(.put, key.path), error)
        }
    }

    /// Writes the body and syncs it. A body without its digest is refused, as by S3.
    private func fill(
        _ staged: borrowing StagedFile, with body: ObjectBody, for key: ObjectKey
    ) throws(StoreError) {
        let digest: Digest
        do {
            digest = try copy(body, into: staged)
            try staged.sync()
        } catch {
            throw .local(.init(.put, key.path), error)
        }
        guard digest == body.digest else {
            throw .sourceChanged(of: body, at: key, found: digest)
        }
    }

    private func copy(
        _ body: ObjectBody, into staged: borrowing StagedFile
    ) throws(SystemError) -> Digest {
        let target = staged.file.raw
        let path = staged.path
        switch body {
        case .bytes(let bytes, _):
            try writeAll(target, bytes, path)
            return Digest(of: bytes)
        case .file(let source, _, _):
            let file = try OwnedDescriptor.open(source, O_RDONLY)
            return try FileDigest(reading: file.raw) { (chunk) throws(SystemError) in
                try writeAll(target, chunk, path)
            }.digest
        }
    }

    /// Gives a complete, synced file the key's name if the condition holds. Everything that the
    /// answer relies on is durable, including the object that causes a refusal.
    private func publish(
        _ staged: borrowing StagedFile, as key: ObjectKey, _ condition: PutCondition
    ) throws(StoreError) -> StoreAnswer {
        let attempt = StoreError.Attempt(.put, key.path)
        let path = path(of: key)
        let lock: KeyLock
        do {
            lock = try KeyLock(of: key, in: locks)
        } catch {
            throw .local(attempt, error)
        }
        let naming: Naming
        do {
            naming = try nameInPlace(staged, path, condition, lock)
        } catch {
            throw .local(attempt, error)
        }
        let etag: ETag
        switch naming {
        case .refused(let refusal): return .notStored(refusal)
        case .named(let given): etag = given
        }
        do {
            try Files.syncDirectory(directory(of: path))
        } catch {
            throw .nonConforming(
                attempt, reason: "it was written, but may not be durable: \(error)")
        }
        lock.release()
        return .stored(etag)
    }

    /// Names the file in an existing directory, durably.
    private func nameInPlace(
        _ staged: borrowing StagedFile, _ path: String, _ condition: PutCondition,
        _ lock: borrowing KeyLock
    ) throws(SystemError) -> Naming {
        try directories.make(directory(of: path))
        do {
            return try name(staged, path, condition, lock)
        } catch {
            guard error.code == ENOENT else { throw error }
            // The directory was removed since it was last used.
            directories.forget()
            try directories.make(directory(of: path))
            return try name(staged, path, condition, lock)
        }
    }

    /// The outcome of naming a file.
    private enum Naming {
        case named(ETag)
        case refused(StoreAnswer.Refusal)
    }

    /// Performs the step that publishes the file. Until link(2) or rename(2) nothing has changed.
    private func name(
        _ staged: borrowing StagedFile, _ path: String, _ condition: PutCondition,
        _ lock: borrowing KeyLock
    ) throws(SystemError) -> Naming {
        let current = try FileStatus(of: path)
        if let refusal = condition.refusal(of: current) {
            if current != nil { try syncPlace(of: path) }
            return .refused(refusal)
        }
        let status = try staged.stamped(laterThan: lock.floor(with: current))
        if condition == .ifAbsent {
            // link(2) never replaces a file, not even one that was created without the lock.
            if link(staged.path, path) == 0 { return .named(status.etag) }
            if errno != EEXIST { throw SystemError("link", path) }
            try syncPlace(of: path)
            return .refused(.conditionFailed)
        }
        try check("rename", path) { rename(staged.path, path) }
        return .named(status.etag)
    }

    /// Makes the existence of the file at `path` durable, even if another process created it.
    private func syncPlace(of path: String) throws(SystemError) {
        let directory = directory(of: path)
        try directories.make(directory)
        try Files.syncDirectory(directory)
    }

    private func directory(of path: String) -> String {
        Files.parent(of: path) ?? root
    }
}

extension PutCondition {
    /// Returns why the condition does not hold for the existing object; nil if it holds.
    fileprivate func refusal(of current: FileStatus?) -> StoreAnswer.Refusal? {
        switch self {
        case .always: return nil
        case .ifAbsent: return current == nil ? nil : .conditionFailed
        case .ifMatch(let expected):
            guard let current else { return .absent }
            return current.etag == expected ? nil : .conditionFailed
        }
    }
}
