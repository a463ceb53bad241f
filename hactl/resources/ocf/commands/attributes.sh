# Read by the stand-ins for Pacemaker's commands beside it: attributes of this node, a file each.
# HACTL_OCF_ATTRIBUTES: the directory. The exit statuses are Pacemaker's.

USAGE=64 DISCONNECTED=102 NO_SUCH=105

fail() { # STATUS WORDS
    echo "${0##*/} (hactl): $2" >&2
    exit "$1"
}

# The first of the words that follow: `option`, its `value`, and how many words were `taken`. LETTERS are the short
# options that have a value; long ones have theirs behind `=`, or those of VALUED in the next word.
VALUED=' --node --uname --name --update --update-both --default --type --lifetime --set-name --id --delay --set '

next_option() { # LETTERS WORD...
    letters=$1
    shift
    [ $# -gt 0 ] || return 1
    option=$1 value= taken=1
    case $1 in
        --*=*) option=${1%%=*} value=${1#*=} ;;
        --*) case $VALUED in *" $1 "*) value=$2 taken=2 ;; esac ;;
        -["$letters"]) value=$2 taken=2 ;;
        -["$letters"]* | -p?*)
            value=${1#-?}
            option=${1%"$value"}
            ;;
    esac
    [ $taken -le $# ] || fail $USAGE "option $option needs a value"
}

attribute_file() { # NAME
    case $1 in
        '' | .* | */*) fail $USAGE "\`$1\` is no attribute's name" ;;
    esac
    [ -n "$HACTL_OCF_ATTRIBUTES" ] || fail $DISCONNECTED "it is called outside of an action of hactl's"
    echo "$HACTL_OCF_ATTRIBUTES/$1"
}

only_here() { # NODE
    [ -z "$1" ] || [ "$1" = "$HACTL_NODE" ] || fail $NO_SUCH "attributes of $1 are not known on $HACTL_NODE"
}

put() { # NAME VALUE
    file=$(attribute_file "$1") || exit
    mkdir -p "$HACTL_OCF_ATTRIBUTES" && printf '%s\n' "$2" >"$HACTL_OCF_ATTRIBUTES/.$1.$$" \
        && mv "$HACTL_OCF_ATTRIBUTES/.$1.$$" "$file" || fail $DISCONNECTED "cannot write $file"
}

drop() { # NAME
    file=$(attribute_file "$1") || exit
    rm -f "$file"
}

get() { # NAME DEFAULT
    file=$(attribute_file "$1") || exit
    value=$2
    [ ! -e "$file" ] || value=$(cat "$file")
    [ -n "$value" ] || fail $NO_SUCH "there is no attribute $1"
}
