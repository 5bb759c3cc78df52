import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct CommandHelpTests {
        /// The end of the help of every command that works on a store.
        private static let storeHelp = """
              --store <store>         URL of the store: file:///path or s3://bucket/prefix.
              --state-dir <state-dir> Directory for the cache and temporary repositories.
                    By default $STATE_DIRECTORY, $XDG_CACHE_HOME/git-s3-backend, or a
                    directory of this user in /var/tmp.
              --allow-shared-state-dir
                                      Allow a state directory that other users own or can
                                      write to.
              --version               Show the version.
              -h, --help              Show help information.


            """

        private func expectHelp(
            of command: String, _ expected: String,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let help = try CommandPlace.run([command, "--help"]).checked().text
            #expect(help == expected + Self.storeHelp, sourceLocation: sourceLocation)
        }

        @Test func helpOfCreateIsThis() throws {
            try expectHelp(
                of: "create",
                """
                OVERVIEW: Create an empty repository.

                If the repository already exists nothing changes; it is an error to request
                another default branch or object format than it has.

                USAGE: git-s3-backend create <repository> [--default-branch <default-branch>] \
                [--object-format <object-format>] [--store <store>] [--state-dir <state-dir>] \
                [--allow-shared-state-dir]

                ARGUMENTS:
                  <repository>            Name of the repository, OWNER/REPO.

                OPTIONS:
                  --default-branch <default-branch>
                                          Branch that HEAD points to. (default: main)
                  --object-format <object-format>
                                          Object format: sha1 or sha256. (default: sha1)

                """)
        }

        @Test func helpOfListIsThis() throws {
            try expectHelp(
                of: "list",
                """
                OVERVIEW: List the repositories of a store.

                Prints one name per line, sorted by bytes. A repository that cannot be read is
                reported on standard error, and the exit status is 1.

                USAGE: git-s3-backend list [--deleted] [--json] [--store <store>] \
                [--state-dir <state-dir>] [--allow-shared-state-dir]

                OPTIONS:
                  --deleted               List deleted and renamed repositories instead.
                  --json                  Print one JSON object per line: name, manifest, head,
                                          counts.

                """)
        }

        @Test func helpOfShowIsThis() throws {
            try expectHelp(
                of: "show",
                """
                OVERVIEW: Show the published state of a repository.

                With --json it also shows a deleted repository, which has no refs and no packs,
                and whose parent is the last state.

                USAGE: git-s3-backend show <repository> [--json] [--sizes] \
                [--manifest <manifest>] [--store <store>] [--state-dir <state-dir>] \
                [--allow-shared-state-dir]

                ARGUMENTS:
                  <repository>            Name of the repository, OWNER/REPO.

                OPTIONS:
                  --json                  Print one JSON object.
                  --sizes                 Print the size of each pack, in bytes; costs one
                                          request per pack.
                  --manifest <manifest>   Show this earlier state, as the digest of its
                                          manifest; also of a deleted repository.

                """)
        }

        @Test func helpOfRenameIsThis() throws {
            try expectHelp(
                of: "rename",
                """
                OVERVIEW: Rename a repository.

                Clients can no longer find the old name, which is not redirected, and a push in
                flight to it is rejected. The new name must not exist.

                After an interrupted rename neither name exists, but nothing is lost: --resume
                finishes the rename, 'restore' undoes it.

                USAGE: git-s3-backend rename <repository> <new-name> [--resume] \
                [--store <store>] [--state-dir <state-dir>] [--allow-shared-state-dir]

                ARGUMENTS:
                  <repository>            Name of the repository, OWNER/REPO.
                  <new-name>              New name, OWNER/REPO.

                OPTIONS:
                  --resume                Finish an interrupted rename.

                """)
        }

        @Test func helpOfDeleteIsThis() throws {
            try expectHelp(
                of: "delete",
                """
                OVERVIEW: Delete a repository.

                Clients can no longer find the repository, and a push in flight is rejected.
                Its objects stay in the store: 'restore' brings it back.

                On a terminal it asks for the name again; without a terminal it requires --yes.

                USAGE: git-s3-backend delete <repository> [--yes] [--store <store>] \
                [--state-dir <state-dir>] [--allow-shared-state-dir]

                ARGUMENTS:
                  <repository>            Name of the repository, OWNER/REPO.

                OPTIONS:
                  --yes                   Do not ask for confirmation.

                """)
        }

        @Test func helpOfRestoreIsThis() throws {
            try expectHelp(
                of: "restore",
                """
                OVERVIEW: Restore a deleted repository.

                Publishes the last state before the deletion, or an earlier one. An existing
                repository is not changed: delete it first.

                USAGE: git-s3-backend restore <repository> [--manifest <manifest>] \
                [--store <store>] [--state-dir <state-dir>] [--allow-shared-state-dir]

                ARGUMENTS:
                  <repository>            Name of the repository, OWNER/REPO.

                OPTIONS:
                  --manifest <manifest>   State to restore, as the digest of its manifest.
                        By default the last state before the deletion.

                """)
        }

        @Test func helpOfImportIsThis() throws {
            try expectHelp(
                of: "import",
                """
                OVERVIEW: Import local repositories.

                Replaces the published refs and HEAD with those of the local repository, as
                'git clone --mirror' would copy them, in one step. Only new objects are stored.
                With --all, each repository DIRECTORY/OWNER/REPO or DIRECTORY/OWNER/REPO.git is
                imported under its own name.

                USAGE: git-s3-backend import [<options>] <directory> <repository>
                       git-s3-backend import [<options>] --all <directory>

                ARGUMENTS:
                  <directory>             Directory of the repository, bare or not; with --all
                                          of all repositories.
                  <repository>            Name to publish it as, OWNER/REPO.

                OPTIONS:
                  --all                   Import every repository in the directory.
                  --default-branch <default-branch>
                                          Branch that HEAD will point to. (default: as in the
                                          local repository)
                  --accept <message>      Accept objects that git's checks refuse with this
                                          message; can be repeated.
                        A message ID of git-fsck(1), such as zeroPaddedFilemode.
                  --quiet                 Show no progress.

                """)
        }

        @Test func helpOfExportIsThis() throws {
            try expectHelp(
                of: "export",
                """
                OVERVIEW: Export repositories to local directories.

                Creates a bare repository that git can serve, or updates an existing one to the
                published state: refs that are not published are removed from it. With --all,
                each repository is exported to DIRECTORY/OWNER/REPO.git.

                USAGE: git-s3-backend export [<options>] <repository> <directory>
                       git-s3-backend export [<options>] --all <directory>

                ARGUMENTS:
                  <repository-and-directory>
                                          Name of the repository, OWNER/REPO, and its
                                          directory; with --all only a directory.

                OPTIONS:
                  --all                   Export every repository.
                  --quiet                 Show no progress.

                """)
        }

        @Test func helpOfCompactIsThis() throws {
            try expectHelp(
                of: "compact",
                """
                OVERVIEW: Repack a repository into fewer packs.

                Pushes can continue in the meantime and take precedence. No object is dropped
                and no pack is deleted. The largest pack gets a bitmap and a commit graph,
                which speed up clones.

                USAGE: git-s3-backend compact [<repository>] [--all] [--full] [--dry-run] \
                [--store <store>] [--state-dir <state-dir>] [--allow-shared-state-dir]

                ARGUMENTS:
                  <repository>            Name of the repository, OWNER/REPO.

                OPTIONS:
                  --all                   Compact every repository in the store that needs it.
                  --full                  Merge all packs into one, including those that are
                                          much larger than others.
                  --dry-run               Print what would be done, without doing it.

                """)
        }

        @Test func helpOfRepairIsThis() throws {
            try expectHelp(
                of: "repair",
                """
                OVERVIEW: Find and repair damaged or missing objects.

                Reads every object that the published state needs and checks its SHA-256.
                Rewrites damaged or missing packs and manifests from good copies in the cache
                of the state directory or in --from, and rebuilds indexes from their packs.
                Pushes can continue in the meantime.

                The exit status is 0 if everything is good at the end, 1 otherwise.

                USAGE: git-s3-backend repair [<repository>] [--all] [--from <directory> ...] \
                [--dry-run] [--quiet] [--store <store>] [--state-dir <state-dir>] \
                [--allow-shared-state-dir]

                ARGUMENTS:
                  <repository>            Name of the repository, OWNER/REPO.

                OPTIONS:
                  --all                   Check every repository in the store.
                  --from <directory>      Also look for good copies in this directory; can be
                                          repeated.
                        For example another machine's state directory, or a copy of the bucket.
                        File names do not matter.
                  --dry-run               Report damage without writing anything.
                  --quiet                 Show no progress.

                """)
        }

        @Test func helpOfProbeIsThis() throws {
            try expectHelp(
                of: "probe",
                """
                OVERVIEW: Check whether a store supports the required conditional writes.

                Runs the conformance probe: conditional writes that race, as pushes do. 'serve'
                runs it at startup, and refuses a store that fails.

                USAGE: git-s3-backend probe [--width <width>] [--rounds <rounds>] \
                [--store <store>] [--state-dir <state-dir>] [--allow-shared-state-dir]

                OPTIONS:
                  --width <width>         Number of concurrent writers. (default: 32)
                  --rounds <rounds>       Number of rounds of each race. (default: 3)

                """)
        }
    }
}
