import Git
package import Logging
package import Repository

extension Hydration {
    /// Reads a published state in a form that can be published again. Older writers omit what their
    /// refs peel to, and no writer may omit that now, so git determines it.
    ///
    /// - Throws: ``StoreError`` or ``RepositoryError``.
    package func publishableState(of snapshot: Snapshot, log: Logger) throws -> Manifest {
        var state = snapshot.manifest
        guard state.needsPeeled, state.peeled == nil else { return state }
        let hydrated = try readWorkspace(snapshot, log: log, limits: .none)
        let refs = try WorkspaceRefs.read(from: hydrated.workspace, git: git, limits: .none)
        guard refs.ids == state.refs else {
            throw RepositoryError.damaged(
                snapshot.repository, reason: "git cannot resolve the refs of '\(snapshot.digest)'")
        }
        state.peeled = refs.peeled
        return state
    }
}
