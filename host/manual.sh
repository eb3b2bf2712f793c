# shellcheck shell=sh
# Installs man pages, which lowdown makes from man/, and shell completion.
# The mode sets `share_dir` and `fish_completions`, the directory that fish reads in it.

# Installs the pages and completion files that differ; without lowdown, completion alone.
install_manual() {
  written=no
  install_completion dmctl.bash "$share_dir/bash-completion/completions/dmctl"
  install_completion _dmctl "$share_dir/zsh/site-functions/_dmctl"
  install_completion dmctl.fish "$fish_completions/dmctl.fish"
  manual_lack=""
  if has_program lowdown; then
    for manual_source in "$checkout"/man/*.md; do
      install_page "$manual_source"
    done
  else
    manual_lack="; man pages need lowdown:  sudo apt-get install lowdown"
  fi
  if [ "$written" = yes ]; then
    step "manual and completion: installed$manual_lack"
  else
    step "manual and completion: installed already$manual_lack"
  fi
}

# install_completion SOURCE FILE
install_completion() {
  mkdir -p "${2%/*}"
  write_if_changed "$2" 644 <"$checkout/completion/$1"
}

# install_page SOURCE: a file of man/, named PAGE.SECTION.md.
install_page() {
  page_name=${1##*/}
  page_name=${page_name%.md}
  page_dir=$share_dir/man/man${page_name##*.}
  mkdir -p "$page_dir"
  page_roff=$(lowdown -s -tman --out-no-smarty "$1") || fail "cannot make the man page $page_name: lowdown failed on $1"
  # Not through a pipe: its subshell would lose the value of `written`.
  write_if_changed "$page_dir/$page_name" 644 <<ROFF
$page_roff
ROFF
}
