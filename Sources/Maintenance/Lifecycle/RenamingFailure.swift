package import Bytes
import ObjectStore

/// Why a rename that had begun was not finished, and the state that the names are in.
package struct RenamingFailure: Error, CustomStringConvertible {
    let renaming: Renaming
    package let cause: any Error
    package let state: State

    /// The state of the names.
    package enum State: Equatable, Sendable {
        /// The old name exists again, unchanged.
        case undone
        /// The old name is a tombstone, and the new one does not exist.
        case begun
        /// The old name may be a tombstone; the new one does not exist.
        case mayHaveBegun
        /// The old name is a tombstone; the new one may exist.
        case mayBeDone
        /// Another command restored the old name, or created it again; `last` is the state that it
        /// had.
        case sourceTaken(last: Digest)
        /// Another rename took over, or did so and the name was then deleted; `last` is the state
        /// that it had.
        case overtaken(last: Digest)
    }

    init(_ renaming: Renaming, _ cause: any Error, _ state: State) {
        self.renaming = renaming
        self.cause = cause
        self.state = state
    }

    package var description: String {
        let (source, target) = (renaming.source, renaming.target)
        let ways =
            "'git-s3-backend rename --resume \(source) \(target)' finishes it, 'git-s3-backend "
            + "restore \(source)' undoes it."
        let how =
            switch state {
            case .undone: "'\(source)' is unchanged."
            case .begun: "'\(source)' is deleted, but nothing is lost: \(ways)"
            case .mayHaveBegun: "If '\(source)' does not exist, nothing is lost: \(ways)"
            case .mayBeDone:
                "'\(source)' is deleted. If '\(target)' does not exist, nothing is lost: \(ways)"
            case .sourceTaken(let last):
                "'\(source)' was restored or created again in the meantime. If it was created "
                    + "again, its last state is still stored: delete the new repository, and "
                    + "'git-s3-backend restore --manifest \(last) \(source)' brings it back."
            case .overtaken(let last):
                "Another rename of '\(source)' took over, or it was deleted again. If it has no "
                    + "new name, its last state is still stored: 'git-s3-backend restore "
                    + "--manifest \(last) \(source)' brings it back."
            }
        return "Could not rename '\(source)' to '\(target)': \(cause) \(how)"
    }
}
