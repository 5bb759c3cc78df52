package import Repository
import Git
package import Logging

extension Hydration {
    /// A published state as it can be published once more. Older writers leave out what their refs
    /// peel to, and no writer may leave that out now: git finds it out.
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
